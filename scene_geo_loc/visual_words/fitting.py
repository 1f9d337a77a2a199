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

"""Fits a vocabulary to the frames of a traversal."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.core.parallel import ReadAhead
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.visual_words.features import ImageFeatures, extract
from scene_geo_loc.visual_words.sizes import POINT_WORDS, REGION_WORDS
from scene_geo_loc.visual_words.vocabulary import Vocabulary

MOST_IMAGES = 1000
"""Most images that a vocabulary is fitted to, spread evenly over the traversal."""


def fit_vocabulary(
    traversal: Traversal,
    point_words: int = POINT_WORDS,
    region_words: int = REGION_WORDS,
    on_progress: ProgressCallback = ignore_progress,
) -> Vocabulary:
    """Returns the vocabulary of a traversal's frames.

    Args:
        traversal: frames of places as they will be seen; poses are not needed.
        point_words, region_words: most words of each kind.
        on_progress: receives the frames read and the number of frames.

    Raises CheckpointError where there are too few frames, or too few features in them.
    """
    total = len(traversal)
    chosen = set(np.linspace(0, total - 1, min(total, MOST_IMAGES)).astype(np.intp).tolist())
    frames_seen = 0

    def pass_over(stamp_ns: int, T_map_camera: Pose | None) -> bool:
        nonlocal frames_seen
        frames_seen += 1
        on_progress(min(frames_seen, total), total)
        return frames_seen - 1 not in chosen

    def features(frame: Frame) -> ImageFeatures:
        return extract(frame.image, frame.visible)

    with ReadAhead() as ahead:
        images = list(ahead.map(features, traversal.frames(pass_over)))
    return Vocabulary.fit(images, point_words, region_words, traversal.name)
