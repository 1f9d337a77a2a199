"""Runs a node in a process of its own and measures its answers."""
