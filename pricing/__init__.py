"""Price response and markdown."""
