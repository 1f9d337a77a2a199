"""Benchmarks of localization, poses, descriptors and speed."""
