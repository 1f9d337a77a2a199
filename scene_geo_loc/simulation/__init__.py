"""Simulator: a generated town with ray-cast cameras and lidars, in the conditions of the papers."""
