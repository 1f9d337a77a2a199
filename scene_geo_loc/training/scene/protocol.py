"""How a network is trained on images of known pose: settings that the command line offers."""

from __future__ import annotations

from enum import Enum

from pydantic import Field

from scene_geo_loc.training.depth.protocol import DepthTraining


class Task(str, Enum):
    """What a network learns of posed images."""

    DEPTH = "depth"
    """Depth, where it is known."""
    VIEWS = "views"
    """Depth, from how it takes a view to its neighbours: no depth needs to be known."""
    MATCHING = "matching"
    """Local features that are alike where two images show the same, by known depth."""
    PLACES = "places"
    """Global descriptors that are alike of images of one place."""


class SceneProtocol(DepthTraining):
    """How a network is trained on posed images."""

    tasks: tuple[Task, ...] = Field(
        default=(Task.DEPTH,), min_length=1, description="what to learn; losses are added up"
    )
    images_a_batch: int = Field(default=8, ge=2, description="images of a mini-batch")
    baseline_m: float = Field(
        default=0.5, gt=0, description="about how far from an image those are that it is compared with, m"
    )
    margin: float = Field(default=0.1, gt=0, description="margin of the triplet loss of places")
