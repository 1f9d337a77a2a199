"""Readers of published datasets and plain folders, one file each."""
