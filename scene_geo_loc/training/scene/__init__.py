"""Trains depth, local features and descriptors on posed images (BMVC 2019)."""
