"""Packs: decoded, resized training data in memory-mapped arrays."""
