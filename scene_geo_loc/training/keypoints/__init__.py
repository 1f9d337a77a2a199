"""Trains keypoints and their features on pairs of views of the same in other light and perspective."""
