"""Depth maps: from lidar scans, sparse and dense."""
