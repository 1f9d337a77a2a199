"""Trains global descriptors by triplets (ICRA 2019)."""
