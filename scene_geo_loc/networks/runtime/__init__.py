"""Inference: backends, feature extraction and export."""
