"""SIFT keypoints (Lowe, IJCV 2004), compared as RootSIFT (Arandjelović and Zisserman, CVPR 2012)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.matchers.base import LocalFeatures, Matched, Matcher, mutual_nearest, working_image
from scene_geo_loc.networks.extractor import SceneFeatures
from scene_geo_loc.networks.scene_network import SceneNetwork

QUERY_KEYPOINTS = 1000


class SiftMatcher(Matcher):
    """OpenCV's SIFT."""

    name = "sift"
    capacity = 400
    channels = 128

    def __init__(self, network: SceneNetwork, learned: Path | None = None) -> None:
        super().__init__(network)
        self._sift = cv2.SIFT_create(nfeatures=QUERY_KEYPOINTS)

    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`."""
        grey = working_image(image)
        keypoints, found = self._sift.detectAndCompute(grey, None)
        if not keypoints:
            return LocalFeatures(np.zeros((0, 2)), np.zeros((0, self.channels), np.float32))
        order = np.argsort([-keypoint.response for keypoint in keypoints], kind="stable")
        pixels = np.array([keypoint.pt for keypoint in keypoints])[order]
        size = np.array([grey.shape[1], grey.shape[0]])
        descriptors = found[order] / np.maximum(found[order].sum(axis=1, keepdims=True), 1e-9)
        return LocalFeatures((pixels + 0.5) * self.input_size / size - 0.5, np.sqrt(descriptors))

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """Mutual nearest neighbours by cosine."""
        in_query, in_reference = mutual_nearest(query.descriptors @ reference.descriptors.T)
        return Matched(query.pixels[in_query], in_reference)
