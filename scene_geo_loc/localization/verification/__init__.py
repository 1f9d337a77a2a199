"""Acceptance of estimated poses, and the confidence in them."""
