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

"""Localizes a source whose poses are known, and prints how far off the estimates are.

python examples/evaluate.py office_map office_evening

`scene-geo-loc evaluate` prints more, and writes a report with pictures.
"""

import argparse

import numpy as np

from scene_geo_loc import Localizer, ReferenceMap, open_traversal
from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import Status


def main() -> None:
    """Prints the share of localized images and the medians of their errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("map", help="folder of the reference map")
    parser.add_argument("source", help="folder of frames, a bag, or a data set")
    arguments = parser.parse_args()

    localizer = Localizer(ReferenceMap.open(arguments.map))
    count, errors = 0, []
    for frame in open_traversal(arguments.source).frames():
        count += 1
        estimate = localizer.localize(frame)
        print(f"{frame.name}: {estimate}")
        T_estimated, T_true = estimate.T_map_camera, frame.T_map_camera
        if estimate.status is Status.LOCALIZED and T_estimated is not None and T_true is not None:
            errors.append((position_error_m(T_true, T_estimated), rotation_error_deg(T_true, T_estimated)))
    print(f"{len(errors)} of {count} images localized")
    if errors:
        position, rotation = np.median(errors, axis=0)
        print(f"median error {100 * position:.1f} cm, {rotation:.2f}°")


if __name__ == "__main__":
    main()
