"""Numbers that say how good poses, retrieval and depth are."""
