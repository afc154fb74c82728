"""The rungs: one folder each. Third-party clients are imported inside them, when they are opened."""
