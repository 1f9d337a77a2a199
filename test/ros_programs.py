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

"""Console scripts of the nodes in processes of their own, as on a robot."""

from __future__ import annotations

import subprocess
import sys


class Programs:
    """Console scripts in processes of their own; those that still run are killed at the end of the test."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, program: str, *arguments: str, **parameters: str) -> subprocess.Popen[str]:
        code = f"from scene_geo_loc.ros.programs import {program}; raise SystemExit({program}())"
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        process = subprocess.Popen(
            [sys.executable, "-c", code, "--ros-args", *arguments, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process
