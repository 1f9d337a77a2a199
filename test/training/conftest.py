"""Runs of a car to train descriptors on."""

from car_runs import drive  # noqa: F401 - a fixture
