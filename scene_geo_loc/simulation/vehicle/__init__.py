"""Simulated vehicle: motion, sensors and the traffic around it."""
