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

"""Pictures of queries beside the keyframes they matched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scene_geo_loc.localization.estimate import PoseEstimate
    from scene_geo_loc.mapping.reference_map import AnyMap

INLIER, OUTLIER = (38, 222, 178), (236, 72, 110)
GAP = (17, 21, 27)
SUBPIXEL_BITS = 4


def most_supporting_keyframe(estimate: PoseEstimate) -> int | None:
    """Returns the keyframe to show for an estimate: most inliers, else most matches, else most similar."""
    matches = estimate.matches
    for chosen in (matches.keyframe[matches.inlier], matches.keyframe):
        if len(chosen):
            return int(np.bincount(chosen).argmax())
    return estimate.candidates[0].keyframe if estimate.candidates else None


def match_picture(
    query: NDArray[np.uint8],
    estimate: PoseEstimate,
    reference_map: AnyMap,
    height: int = 360,
    most_lines: int = 90,
    gap: int = 6,
) -> NDArray[np.uint8]:
    """Returns a picture of the query (H, W, 3) left of its best keyframe, with matches as lines; RGB uint8.

    Inliers are green, outliers thin and red.  At most `most_lines` of each are drawn, evenly spread.  The
    picture shows the query alone where no keyframe was retrieved.
    """
    query_scale = height / query.shape[0]
    left = _resized(query, height)
    keyframe = most_supporting_keyframe(estimate)
    if keyframe is None:
        return left
    canvas = side_by_side(left, reference_map.thumbnail(keyframe), height, gap)
    keyframe_scale = height / reference_map.camera_of(keyframe).height

    matches = estimate.matches
    here = matches.keyframe == keyframe
    ends = np.concatenate(
        [
            (matches.query_pixels + 0.5) * query_scale - 0.5,
            (matches.keyframe_pixels + 0.5) * keyframe_scale - 0.5 + (left.shape[1] + gap, 0),
        ],
        axis=1,
    )
    for inlier, colour, opacity in ((False, OUTLIER, 0.35), (True, INLIER, 0.9)):
        rows = np.flatnonzero(here & (matches.inlier == inlier))
        rows = rows[:: max(1, -(-len(rows) // most_lines))]
        overlay = canvas.copy()
        for x0, y0, x1, y1 in np.round(ends[rows] * 2**SUBPIXEL_BITS).astype(int).tolist():
            cv2.line(overlay, (x0, y0), (x1, y1), colour, 1, cv2.LINE_AA, SUBPIXEL_BITS)
            for x, y in ((x0, y0), (x1, y1)):
                cv2.circle(overlay, (x, y), 2 << SUBPIXEL_BITS, colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)
        canvas = cv2.addWeighted(overlay, opacity, canvas, 1 - opacity, 0).astype(np.uint8)
    return canvas


def side_by_side(
    left: NDArray[np.uint8], right: NDArray[np.uint8], height: int, gap: int = 6
) -> NDArray[np.uint8]:
    """Returns two RGB images of any size side by side at one height, with a dark gap between them."""
    left, right = _resized(left, height), _resized(right, height)
    return np.hstack([left, np.full((height, gap, 3), GAP, np.uint8), right])


def jpeg_bytes(image: NDArray[np.uint8], quality: int = 86) -> bytes:
    """Returns an RGB image encoded as JPEG."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"an image of shape {image.shape} and type {image.dtype} cannot be written as JPEG")
    return data.tobytes()


def metres(value: float) -> str:
    """Returns a length as text, in a unit that suits its size."""
    return f"{100 * value:.1f} cm" if value < 1 else f"{value:.2f} m"


def _resized(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    interpolation = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=interpolation).astype(np.uint8)
