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

"""Localizes one image in a reference map.

python examples/localize_image.py street_map query.png --focal-length 525
"""

import argparse
from pathlib import Path

from scene_geo_loc import Camera, CameraImage, Localizer, ReferenceMap
from scene_geo_loc.traversals.folder import read_image


def main() -> None:
    """Prints the pose of the image, its accuracy and its support in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("map", help="folder of the reference map")
    parser.add_argument("image", help="image file")
    parser.add_argument("--focal-length", type=float, required=True, help="pixels")
    arguments = parser.parse_args()

    image = read_image(Path(arguments.image))
    height, width = image.shape[:2]
    # A camera without distortion that looks through the middle of its image; see Camera for others.
    f = arguments.focal_length
    camera = Camera(width, height, fx=f, fy=f, cx=(width - 1) / 2, cy=(height - 1) / 2)

    localizer = Localizer(ReferenceMap.open(arguments.map))
    print(localizer.localize(CameraImage(image, camera)))


if __name__ == "__main__":
    main()
