"""The car whose runs descriptors are trained on."""

from car_runs import drive  # noqa: F401 - a fixture
