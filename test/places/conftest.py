"""Runs of a car to choose places from."""

from car_runs import drive  # noqa: F401 - a fixture
