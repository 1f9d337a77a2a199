"""Metrics of poses, retrieval and depth, and the numbers printed in papers."""
