"""The reference map and its builder: keyframes with poses, features and depth, and the index over them."""
