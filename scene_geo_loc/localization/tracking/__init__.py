"""Fusion of pose estimates with odometry."""
