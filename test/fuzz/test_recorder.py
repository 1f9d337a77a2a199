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

"""A recorder that is killed loses its last seconds only; `make fuzz` kills more of them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from fuzz.recorder import interrupt

from scene_geo_loc.ros.harness.node_process import own_domain, spinning_node


@pytest.mark.slow
@pytest.mark.ros
def test_what_a_killed_recorder_wrote_can_be_read_and_the_next_one_keeps_it(tmp_path: Path) -> None:
    with own_domain() as domain, spinning_node("numbers", domain) as node:
        assert interrupt(node, tmp_path / "killed", seconds=3.0) > 10
        interrupt(node, tmp_path / "full", seconds=0.0, limit=20_000)
