"""The reference map and how it is built: keyframes, their features and poses, and the index."""
