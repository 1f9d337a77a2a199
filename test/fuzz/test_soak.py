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

"""A node to which everything happens once goes on; `make soak` does it for hours."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.soak import soak


@pytest.mark.slow
@pytest.mark.ros
def test_a_node_publishes_poses_again_after_each_event(tmp_path: Path) -> None:
    run = soak(tmp_path, minutes=0, period_s=0.5)
    assert len(run.resident_mb) == 5
    assert run.poses > 20
