"""Outputs of the localization node: poses, state and diagnostics."""
