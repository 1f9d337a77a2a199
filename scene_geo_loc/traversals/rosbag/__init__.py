"""Reads and writes ROS 1 and ROS 2 recordings."""
