"""Sparse and dense depth maps of lidar scans."""
