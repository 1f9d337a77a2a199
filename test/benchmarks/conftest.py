"""The synthetic run that benchmarks score."""

from fake_run import fake_map, localizer, traversal  # noqa: F401 - fixtures
