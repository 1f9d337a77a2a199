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

"""The console scripts of the nodes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from scene_geo_loc.ros import programs

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["localization_node", "map_builder_node"])
def test_ctrl_c_during_the_imports_ends_a_node_without_a_traceback(name: str) -> None:
    code = f"from scene_geo_loc.ros.programs import {name}; raise SystemExit({name}())"
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-c", code], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    imported = next(line for line in process.stderr if line.split()[-1].startswith("rclpy."))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in imported + said


def test_a_program_runs_its_node_with_ctrl_c_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def main() -> int:
        heard.append(signal.getsignal(signal.SIGINT))
        return 3

    monkeypatch.setattr("scene_geo_loc.ros.bags.player.main", main)
    assert programs.bag_player() == 3
    assert heard == [signal.getsignal(signal.SIGINT)]
