"""The simulated town: its plan, and everything that stands in it."""
