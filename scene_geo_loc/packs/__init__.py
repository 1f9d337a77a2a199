"""Image packs: decoded, resized training data in memory-mapped arrays."""
