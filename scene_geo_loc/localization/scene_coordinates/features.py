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


"""Features of the cells of an image: local ones, joined with the late map, which sees the surroundings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.networks.forward_pass import COARSE, LOCAL
from scene_geo_loc.networks.runtime.backends import GraphBackend, Work, graph_backends, start_first
from scene_geo_loc.networks.stage import Stage


class DenseFeatures:
    """Runs the graph of features on images of any size that fits it.

    Args:
        graph: image to `local_features` and `coarse_features`, as ONNX.
        local, late: grids of the two maps.
        device: "auto", "cpu", or "cuda" with an optional number.
    """

    def __init__(self, graph: bytes, local: Stage, late: Stage, device: str) -> None:
        self._graph, self._local, self._late, self._device = graph, local, late, device
        self._backends: dict[tuple[int, int], GraphBackend] = {}

    def backend(self, width: int, height: int) -> GraphBackend:
        """Returns the backend for images of a size, which is started when it is first asked for.

        Raises SceneGeoLocError where no backend can run.
        """
        if (width, height) not in self._backends:
            work = Work(self._graph, (LOCAL, COARSE), (1, height, width, 3))
            self._backends[width, height] = start_first(graph_backends(work, self._device), self._device)
        return self._backends[width, height]

    def of(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the features (rows * columns, F) of the cells of an image (H, W, 3), row by row."""
        height, width = image.shape[:2]
        outputs = self.backend(width, height).run(image)
        local, late = outputs[LOCAL], outputs[COARSE]
        rows, columns = (
            _interpolation(self._local, self._late, cells, late_cells)
            for cells, late_cells in zip(local.shape[:2], late.shape[:2], strict=True)
        )
        wide = np.einsum("ri,ijc,sj->rsc", rows, late, columns, optimize=True)
        joined = np.concatenate([local, wide.astype(np.float32)], axis=2)
        return joined.reshape(-1, joined.shape[2])

    def pixels(self, width: int, height: int) -> NDArray[np.float64]:
        """Returns the pixels (rows * columns, 2) at the centres of the cells of an image, row by row."""
        y, x = np.mgrid[: self._local.cells(height), : self._local.cells(width)]
        return np.stack([x.ravel(), y.ravel()], axis=1) * float(self._local.stride) + self._local.offset


def _interpolation(local: Stage, late: Stage, cells: int, late_cells: int) -> NDArray[np.float32]:
    """Returns the matrix (cells, late_cells) that interpolates the late map along a side."""
    at = (np.arange(cells) * local.stride + local.offset - late.offset) / late.stride
    at = at.clip(0, late_cells - 1)
    return np.maximum(1 - np.abs(at[:, None] - np.arange(late_cells)), 0).astype(np.float32)
