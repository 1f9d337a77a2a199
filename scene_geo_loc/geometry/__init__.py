"""Cameras, rigid transforms and trajectories: the ground floor, which knows no other room."""
