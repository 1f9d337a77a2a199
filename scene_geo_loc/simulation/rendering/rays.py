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
"""Ray casting at triangles with Embree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError

try:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene
except ImportError as error:
    raise SceneGeoLocError(
        f"The simulator casts rays with embreex, which cannot be imported ({error}): install scene_geo_loc "
        "with the extra `simulation`."
    ) from error

F32 = NDArray[np.float32]


class TriangleTree:
    """Triangles (T, 3, 3) by their corners, ready for ray casting."""

    def __init__(self, corners: F32) -> None:
        # Without Embree's watertight mode, which is slower: a gap would be narrower than a pixel.
        self._embree = EmbreeScene(robust=False)
        TriangleMesh(self._embree, np.ascontiguousarray(corners, np.float32))
        # Embree builds its tree at the first ray: cast one before worker processes are forked.
        self.cast(np.array([[0, 0, 50]], np.float32), np.array([[0, 0, -1]], np.float32))

    def cast(self, origins: F32, directions: F32) -> tuple[F32, NDArray[np.int32]]:
        """Returns distance (N,) and index (N,) of the first triangle on each ray; inf and < 0 for none.

        Args:
            origins: (N, 3).
            directions: (N, 3) unit vectors.
        """
        found = self._embree.run(origins, directions, output=1)
        triangle = found["primID"]
        return np.where(triangle < 0, np.float32(np.inf), found["tfar"]), triangle

    def is_shadowed(self, points: F32, direction: F32) -> NDArray[np.bool_]:
        """Returns a mask (N,) of points (N, 3) in the shadow of a far light in a direction (3,)."""
        towards = np.ascontiguousarray(direction, np.float32)[None]
        return np.asarray(
            self._embree.run(np.ascontiguousarray(points, np.float32), towards, query="OCCLUDED") >= 0
        )
