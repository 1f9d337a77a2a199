"""The `train` commands."""
