"""Runs a network: backends, feature extraction, export."""
