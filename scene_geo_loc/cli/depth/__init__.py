"""The `depth` commands: depth maps from lidar, and their errors."""
