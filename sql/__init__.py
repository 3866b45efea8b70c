"""The data layer: contract, settings, engines, queries, checks and snapshots."""
