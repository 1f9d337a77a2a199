"""Which poses of a bag are those of its camera, and what they are at a time."""
