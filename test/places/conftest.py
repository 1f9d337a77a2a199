"""The car whose runs places are chosen from."""

from car_runs import drive  # noqa: F401 - a fixture
