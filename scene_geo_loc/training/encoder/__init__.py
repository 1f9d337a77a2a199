"""Trains an encoder from another network's features."""
