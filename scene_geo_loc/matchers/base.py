"""What every matcher is: an image to local features, and two images' features to matches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.networks.extractor import SceneFeatures
from scene_geo_loc.networks.scene_network import SceneNetwork

MAX_PIXELS = 640 * 480
"""Most pixels of the image that keypoints are found in: larger images are made smaller."""


class LocalFeatures(NamedTuple):
    """Local features of an image.

    Attributes:
        pixels: (N, 2) where they lie, in pixels of the network's input whatever image they were found in:
            errors in pixels mean the same with every matcher.
        descriptors: (N, C) float32 of unit length.
    """

    pixels: NDArray[np.float64]
    descriptors: NDArray[np.float32]


class Matched(NamedTuple):
    """Matches of a query's features with a keyframe's.

    Attributes:
        query_pixels: (M, 2) in pixels of the network's input; finer than the features' own, where the
            matcher can tell.
        reference: (M,) rows of the keyframe's features.
    """

    query_pixels: NDArray[np.float64]
    reference: NDArray[np.intp]


class Matcher(ABC):
    """Base of the matchers.

    Attributes:
        name: what maps and settings call it.
        cells: (F, 2) where the features of every image lie, in pixels of the network's input; None where they
            are keypoints, which lie where the image has something, the strongest first.
        capacity: most features of a keyframe.
        channels: length of a feature.
    """

    name: ClassVar[str]
    cells: NDArray[np.float64] | None = None
    capacity: int
    channels: int

    def __init__(self, network: SceneNetwork, learned: Path | None = None) -> None:
        """See `make_matcher`."""
        config = network.config
        self.input_size = np.array([config.input_width, config.input_height])

    @abstractmethod
    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """The local features of an RGB image (H, W, 3) of which the network tells `features`."""

    @abstractmethod
    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """The features of two images that look alike, one to one."""

    def save(self, path: Path) -> None:
        """Writes what the matcher has learned, of those that have, so that a map needs nothing else."""


def working_image(image: NDArray[np.uint8], multiple: int = 1) -> NDArray[np.uint8]:
    """A grey image (H', W') of `MAX_PIXELS` at most, its sides multiples of a number, to find keypoints in."""
    height, width = image.shape[:2]
    scale = min(1.0, (MAX_PIXELS / (height * width)) ** 0.5)
    rows, columns = (max(1, round(side * scale / multiple)) * multiple for side in (height, width))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if (rows, columns) != (height, width):
        grey = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def mutual_nearest(similarity: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a matrix (M, N) of similarities that are each other's best.

    The bidirectional test of Perspective-n-Learned-Point, section 3.2.
    """
    if similarity.size == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    best_column = similarity.argmax(axis=1)
    best_row = similarity.argmax(axis=0)
    rows = np.flatnonzero(best_row[best_column] == np.arange(len(similarity)))
    return rows, best_column[rows]
