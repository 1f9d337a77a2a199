"""The localization node."""
