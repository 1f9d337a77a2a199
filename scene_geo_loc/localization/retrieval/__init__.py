"""Retrieval: the keyframes of a map that look most like an image, and like those before it."""
