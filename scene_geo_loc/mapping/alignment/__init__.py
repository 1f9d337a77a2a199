"""Alignment of a reference map with an occupancy grid of the same place."""
