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

"""Console scripts of the nodes; they import little, so that Ctrl-C works while the rest is imported."""

from __future__ import annotations

import os
import signal
from importlib import import_module


def localization_node() -> int:
    """Runs the node that localizes a camera's images in a reference map."""
    return _run("localization.node")


def map_builder_node() -> int:
    """Runs the node that builds a reference map from live topics or a recording."""
    return _run("map_builder.node")


def bag_player() -> int:
    """Plays a recording."""
    return _run("bags.player")


def bag_recorder() -> int:
    """Records topics."""
    return _run("bags.recorder")


def _run(module: str) -> int:
    # Nothing has started yet that must be closed, and an exception would be raised inside torch's import.
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    main = import_module(f"scene_geo_loc.ros.{module}").main
    signal.signal(signal.SIGINT, before)
    return int(main())
