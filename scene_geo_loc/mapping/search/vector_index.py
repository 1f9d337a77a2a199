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
"""The seam of retrieval: what a map's index of global descriptors does, whatever holds the descriptors."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class VectorIndex(Protocol):
    """Search by cosine similarity over the descriptors of a map's keyframes.

    `DescriptorIndex` compares all of them, `CompressedIndex` those of large maps that codes of a few bytes
    choose, and `InvertedFile` sparse ones of visual words. An index in a database fits here as well.
    """

    def __len__(self) -> int:
        """Number of keyframes."""
        ...

    @property
    def size(self) -> int:
        """Length of a descriptor."""
        ...

    def descriptor(self, keyframe: int) -> NDArray[np.float32]:
        """Returns the stored descriptor (D,) of a keyframe, to half precision."""
        ...

    def search(
        self, descriptor: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns the keyframes nearest to a descriptor, best first, and their cosine similarities.

        Args:
            descriptor: (D,) of unit length.
            count: number of keyframes to return; all where there are fewer.
            among: restricts the search to these keyframes.
        """
        ...
