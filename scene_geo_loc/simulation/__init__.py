"""A made-up town to drive through: ray-cast cameras and lidars, in the conditions of the papers."""
