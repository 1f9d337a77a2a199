"""Traversals: one run through a place, as a stream of frames. One small reader a format."""
