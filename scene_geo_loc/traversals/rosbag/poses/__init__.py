"""Choice of the poses of a bag that are those of its camera, and their values at a time."""
