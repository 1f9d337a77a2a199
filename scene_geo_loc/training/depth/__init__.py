"""Trains depth decoders on image and depth pairs."""
