"""Solvers of robust PnP: the pose of one or several cameras from matches of which many may be wrong."""
