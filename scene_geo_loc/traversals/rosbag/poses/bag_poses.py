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

"""Poses of a recording's sensors in the map: from a topic, from TF, or from a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.trajectory import MAX_GAP_NS, Trajectory
from scene_geo_loc.geometry.transform_tree import TransformTree, TransformUnavailable


@dataclass(frozen=True)
class BagPoses:
    """Poses of any of a recording's frames in the map.

    Attributes:
        map_frame: frame that the poses are given in.
        origin: source of the poses, for messages.
        body: frame whose poses `trajectory` has, or the map itself where all poses are on TF.
        trajectory: poses of `body` in the map, or None where all poses are on TF.
    """

    map_frame: str
    origin: str
    tree: TransformTree
    body: str
    trajectory: Trajectory | None

    def of(self, frame: str, stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns `T_map_frame` (N, 4, 4) at stamps (N,), and a mask (N,) of the known ones."""
        stamps_ns = np.asarray(stamps_ns, np.int64)
        poses, known = self.tree.lookup_many(self.body, frame, stamps_ns)
        if self.trajectory is None:
            return poses, known
        T_map_body, body_known = self.trajectory.at_many(stamps_ns)
        return T_map_body @ poses, known & body_known

    def why_unknown(self, frame: str, stamp_ns: int) -> str:
        """Returns a sentence on why the pose of a frame is unknown at a stamp."""
        try:
            self.tree.lookup(self.body, frame, stamp_ns)
        except TransformUnavailable as unavailable:
            return str(unavailable)
        stamps = self.trajectory.stamps_ns if self.trajectory is not None else np.zeros(0, np.int64)
        after = int(np.searchsorted(stamps, stamp_ns))
        if after == len(stamps):
            last = f" end {(stamp_ns - stamps[-1]) / 1e9:.3f} s before it" if after else " are none"
            return f"The poses of {self.origin}{last}."
        if after == 0:
            return f"The poses of {self.origin} begin {(stamps[0] - stamp_ns) / 1e9:.3f} s after it."
        gap_s = (stamps[after] - stamps[after - 1]) / 1e9
        return f"The poses of {self.origin} have a gap of {gap_s:.1f} s > {MAX_GAP_NS / 1e9:g} s there."
