# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Builds a map that is matched by features of one's own, and localizes a source in it.

python examples/own_matcher.py office orb_map office_evening

The features are OpenCV's ORB (Rublee et al., ICCV 2011). A matcher says how keypoints are found and
described, and how many of its matches must agree with a pose; the package stores, matches and solves.
"""

import argparse

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc import Localizer, build_map, open_traversal
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.matchers.keypoints import QUERY_KEYPOINTS, KeypointMatcher


class OrbMatcher(KeypointMatcher):
    """ORB keypoints, described by 256 bits."""

    name = "orb"
    min_inlier_ratio = 0.05
    min_coverage = 0.3
    capacity = 400
    channels = 256

    def detect(self, grey: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Returns keypoints (N, 2), the strongest first, and their unit descriptors (N, 256).

        Bits become -1 and 1, divided by 16 for unit length: the cosine is then 1 - distance / 128, with the
        Hamming distance that ORB is compared by.
        """
        keypoints, bytes_of = cv2.ORB.create(nfeatures=QUERY_KEYPOINTS).detectAndCompute(grey, None)
        if not keypoints:
            return np.zeros((0, 2)), np.zeros((0, self.channels), np.float32)
        strongest = np.argsort([-keypoint.response for keypoint in keypoints], kind="stable")
        pixels = np.array([keypoint.pt for keypoint in keypoints], np.float64)
        bits = np.unpackbits(np.asarray(bytes_of, np.uint8), axis=1)
        descriptors = np.where(bits[strongest], 1 / 16, -1 / 16)
        return pixels[strongest], descriptors.astype(np.float32)


def main() -> None:
    """Builds the map and prints an estimate for each image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", help="folder of frames, a bag, or a data set")
    parser.add_argument("out", help="folder of the new map")
    parser.add_argument("queries", help="source of the images to localize")
    arguments = parser.parse_args()

    settings = BuilderSettings(keyframe_distance_m=0.1)
    reference_map = build_map(open_traversal(arguments.source), arguments.out, settings, matcher=OrbMatcher)
    localizer = Localizer(reference_map, matcher=OrbMatcher)
    for frame in open_traversal(arguments.queries).frames():
        print(f"{frame.name}: {localizer.localize(frame)}")


if __name__ == "__main__":
    main()
