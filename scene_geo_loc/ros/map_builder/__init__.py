"""The map-building node."""
