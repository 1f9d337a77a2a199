"""Bag player and bag recorder nodes."""
