"""From an image to a pose: describe, retrieve, match, lift by depth, solve, verify."""
