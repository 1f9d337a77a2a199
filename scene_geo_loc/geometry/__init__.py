"""Cameras, rigid transforms and trajectories; imports no other package but core."""
