"""The `benchmark` commands."""
