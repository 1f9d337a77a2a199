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

"""Random numbers that depend on their purpose, not on the order of drawing."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """Returns a random generator for one purpose, such as `stream(7, "building", 12)`.

    The geometry of building 12 then stays the same when anything else in the city changes.
    """
    key = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in purpose]
    return np.random.default_rng([seed, *key])
