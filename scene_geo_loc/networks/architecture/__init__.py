"""The scene network and its parts as torch modules."""
