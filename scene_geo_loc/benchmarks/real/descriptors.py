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

"""Global descriptors of image files, by a network that is fitted to the database where it is not yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scene_geo_loc.benchmarks.real.experiment import Tools
from scene_geo_loc.benchmarks.real.image_matcher import network_for
from scene_geo_loc.core.progress import tracked
from scene_geo_loc.localization.query import Stopwatch
from scene_geo_loc.networks.runtime.extractor import FIT_IMAGES, Extractor, evenly_spread
from scene_geo_loc.networks.runtime.image_descriptors import Descriptors, fit_extractor
from scene_geo_loc.traversals.folder import read_image


def fitted_extractor(database: Sequence[Path], tools: Tools) -> Extractor:
    """Returns an extractor of the network, fitted to images of a database if it was not fitted.

    Raises SceneGeoLocError where an image cannot be read.
    """
    network = network_for(tools.network)
    chosen = [database[i] for i in evenly_spread(len(database), FIT_IMAGES)]
    with tools.show("fitting the descriptor", "images") as on_progress:
        return fit_extractor(
            (read_image(path) for path in tracked(chosen, len(chosen), on_progress)),
            network.with_input_for if tools.network is None else lambda width, height: network,
            tools.device,
        )


def described(
    extractor: Extractor, folder: Path, names: Sequence[str], tools: Tools
) -> tuple[Descriptors, float]:
    """Returns the descriptors of images below a folder, and the median time of one, milliseconds.

    Raises SceneGeoLocError where an image cannot be read.
    """
    rows = np.zeros((len(names), extractor.network.global_size), np.float32)
    ms = []
    with tools.show("describing", "images") as on_progress:
        for i, name in enumerate(tracked(names, len(names), on_progress)):
            image = read_image(folder / name)
            stopwatch = Stopwatch()
            with stopwatch.step("describe"):
                descriptor = extractor.extract(image).global_descriptor
            assert descriptor is not None, "the extractor is fitted"
            rows[i] = descriptor
            ms.append(stopwatch.times_ms["total"])
    return Descriptors(np.array(names), rows), float(np.median(ms))
