"""The `depth` commands."""
