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

"""Builds a reference map from a folder of RGB-D frames with known poses.

python examples/build_map.py office office_map

The folder holds `images/`, `depth/` (16-bit PNG, millimetres), `K.txt` (3x3 intrinsics) and `poses.txt`
(a 4x4 matrix a line, camera to map); docs/datasets/README.md has the details. Any other source that
`open_traversal` reads does as well: a bag, 7-Scenes, KITTI.
"""

import argparse

from scene_geo_loc import build_map, open_traversal
from scene_geo_loc.mapping.settings import BuilderSettings


def main() -> None:
    """Builds the map and prints how many keyframes it has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", help="folder of frames")
    parser.add_argument("out", help="folder of the new map")
    parser.add_argument("--keyframe-distance", type=float, default=0.1, help="metres between keyframes")
    arguments = parser.parse_args()

    settings = BuilderSettings(keyframe_distance_m=arguments.keyframe_distance)
    traversal = open_traversal(arguments.source)
    reference_map = build_map(traversal, arguments.out, settings)
    print(f"{arguments.out}: {len(reference_map)} keyframes of {len(traversal)} frames")


if __name__ == "__main__":
    main()
