"""Runs a localizer over a traversal and scores it."""
