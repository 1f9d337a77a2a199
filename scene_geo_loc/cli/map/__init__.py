"""The `map` commands: build, inspect and verify reference maps."""
