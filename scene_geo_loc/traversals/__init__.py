"""Traversals: runs through a place as streams of frames, with one reader for each format."""
