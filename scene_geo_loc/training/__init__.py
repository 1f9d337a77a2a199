"""Trains descriptors, depth, local features and encoders."""
