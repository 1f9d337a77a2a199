"""The synthetic run that reports show."""

from fake_run import fake_map, localizer, traversal  # noqa: F401 - fixtures
