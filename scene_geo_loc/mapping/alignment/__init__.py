"""Where a reference map lies in an occupancy grid of the same place."""
