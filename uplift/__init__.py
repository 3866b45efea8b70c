"""Experiments, effects and targeting."""
