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

"""Example queries of a run with their matches: best, worst and not localized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.match_picture import (
    jpeg_bytes,
    match_picture,
    metres,
    most_supporting_keyframe,
)
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.metrics.pose_error import QueryRecord, errors_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scene_geo_loc.localization.pose_localizer import PoseLocalizer
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.traversals.frame import Frame, Traversal


@dataclass(frozen=True)
class Example:
    """A query with its match picture.

    Attributes:
        kind: "best", "worst" or "lost".
        title, details: caption with the query's numbers.
        jpeg: the compressed picture.
        picture: the same before compression, (H, W, 3) RGB uint8.
    """

    kind: str
    title: str
    details: str
    jpeg: bytes
    picture: NDArray[np.uint8]


def choose_examples(records: Sequence[QueryRecord], each: int = 4) -> dict[int, str]:
    """Returns indices of at most `each` best, worst and not localized queries, with their kind.

    The best are taken from different stretches of the traversal and the lost are spread over it, so that the
    pictures show different places. Images that a live node did not answer are not among the lost ones.
    """
    position, _ = errors_of(records)
    fixed = np.flatnonzero(np.isfinite(position))
    chosen: dict[int, str] = {}
    worst = fixed[np.argsort(-position[fixed])][:each] if len(fixed) > each else fixed[:0]
    rest = np.setdiff1d(fixed, worst)
    for stretch in np.array_split(rest, each):
        if len(stretch):
            chosen[int(stretch[np.argmin(position[stretch])])] = "best"
    chosen |= {int(i): "worst" for i in worst}
    lost = [
        i
        for i, record in enumerate(records)
        if record.T_true is not None and not (record.is_localized or record.status is Status.UNANSWERED)
    ]
    for i in np.linspace(0, len(lost) - 1, min(each, len(lost))).astype(int):
        chosen[lost[i]] = "lost"
    return chosen


def draw_examples(
    records: Sequence[QueryRecord],
    chosen: dict[int, str],
    localizer: PoseLocalizer,
    reference_map: AnyMap,
    traversal: Traversal,
) -> list[Example]:
    """Localizes the chosen queries offline and draws their matches: best, then worst, then lost ones.

    All numbers in the captions belong to the pose that is drawn.
    """
    by_stamp = {records[i].stamp_ns: i for i in chosen}
    begin = records[0].stamp_ns if records else 0
    drawn: dict[int, Example] = {}
    for frame in traversal.frames():
        i = by_stamp.pop(frame.stamp_ns, None)
        if i is None:
            continue
        try:
            estimate = localizer.localize(frame)
        except SceneGeoLocError as error:
            estimate = PoseEstimate(
                Status.LOST, rejection=Rejection(RejectionKind.INVALID_IMAGE, detail=str(error))
            )
        picture = match_picture(frame.image, estimate, reference_map)
        title, details = _caption(frame, estimate, reference_map, (frame.stamp_ns - begin) / 1e9)
        drawn[i] = Example(chosen[i], title, details, jpeg_bytes(picture), picture)
        if not by_stamp:
            break
    position, _ = errors_of(records)
    order = {"best": 0, "worst": 1, "lost": 2}

    def rank(i: int) -> tuple[int, float]:
        # Best ones from the smallest error up, worst ones from the largest down, lost ones by time.
        error = {"best": position[i], "worst": -position[i], "lost": float(i)}
        return order[chosen[i]], float(error[chosen[i]])

    return [drawn[i] for i in sorted(drawn, key=rank)]


def _caption(frame: Frame, estimate: PoseEstimate, reference_map: AnyMap, seconds: float) -> tuple[str, str]:
    keyframe = most_supporting_keyframe(estimate)
    parts = [f"{estimate.inliers} inliers ({100 * estimate.inlier_ratio:.0f} % of matches)"]
    if frame.T_map_camera is not None and keyframe is not None:
        away = float(position_error_m(frame.T_map_camera, reference_map.T_map_camera[keyframe]))
        parts.append(f"keyframe {keyframe}, {metres(away)} from the query")
    if estimate.reason:
        parts.append(estimate.reason)
    if estimate.T_map_camera is None or frame.T_map_camera is None or estimate.status is not Status.LOCALIZED:
        return f"{estimate.status} at {seconds:.1f} s", " · ".join(parts)
    position = float(position_error_m(frame.T_map_camera, estimate.T_map_camera))
    rotation = float(rotation_error_deg(frame.T_map_camera, estimate.T_map_camera))
    return f"{metres(position)}, {rotation:.2f}° off at {seconds:.1f} s", " · ".join(parts)
