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

"""Schedules of learning rates."""

from __future__ import annotations

import math


def warmed_cosine(step: int, steps: int, warm_up: int) -> float:
    """Returns the factor of the learning rate at a step: a linear warm-up, then half a cosine down to 0.

    Args:
        step: counted from 0.
        steps: of the whole training.
        warm_up: steps until the largest learning rate, at most all.
    """
    warm_up = min(warm_up, steps)
    rise = min(1.0, (step + 1) / warm_up)
    return rise * 0.5 * (1 + math.cos(math.pi * max(0, step - warm_up) / max(1, steps - warm_up)))
