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

"""Images of places, compared as retrieval does: by descriptor, and by the layout of the best keypoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.real.experiment import Tools
from scene_geo_loc.benchmarks.real.image_matcher import network_for
from scene_geo_loc.benchmarks.real.results import DESCRIPTOR
from scene_geo_loc.core.progress import tracked
from scene_geo_loc.localization.query import Stopwatch
from scene_geo_loc.localization.retrieval.place_check import agreement
from scene_geo_loc.mapping.search.place_keypoints import (
    place_keypoints,
    row_shape,
    signs_and_places,
    stored_row,
)
from scene_geo_loc.metrics.recall import TIE_DIGITS
from scene_geo_loc.networks.runtime.extractor import (
    FIT_IMAGES,
    Extractor,
    SceneFeatures,
    evenly_spread,
)
from scene_geo_loc.networks.runtime.image_descriptors import fit_extractor
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


NO_KEYPOINTS = "The network finds no keypoints that places could be compared by."


@dataclass(frozen=True)
class Database:
    """Described images that queries are compared with.

    Attributes:
        descriptors: (N, D) float32 of unit length.
        keypoints: (N, P, B) uint8, see `stored_row`; None where the network finds none.
        input_size: width and height of the network's input for them.
    """

    descriptors: NDArray[np.float32]
    keypoints: NDArray[np.uint8] | None
    input_size: tuple[int, int]

    def agreements(self, images: NDArray[np.integer], features: SceneFeatures) -> NDArray[np.float64]:
        """Returns the share (K,) of a query's best keypoints that match those of images (K,) and lie alike.

        Zeros where the network finds no keypoints.
        """
        if self.keypoints is None or features.strongest is None:
            return np.zeros(len(images))
        signs, places = signs_and_places(self.keypoints[images], self.input_size)
        return agreement(place_keypoints(features.strongest, features.input_size), signs, places)


class Comparison(NamedTuple):
    """A query compared with images of a database as retrieval compares it with keyframes.

    Attributes:
        images: (K,) their indices.
        cosines: (K,) of the descriptors, rounded so that equal images are equal.
        agreements: (K,) see `Database.agreements`.
        describe_ms, compare_ms: time that description and comparison of the keypoints took, milliseconds.
    """

    images: NDArray[np.intp]
    cosines: NDArray[np.float64]
    agreements: NDArray[np.float64]
    describe_ms: float
    compare_ms: float

    def similarity(self, method: str) -> NDArray[np.float64]:
        """Returns what a method ranks the images by (K,): `DESCRIPTOR` or `RETRIEVAL`."""
        return self.cosines if method == DESCRIPTOR else self.cosines + self.agreements

    def ms(self, method: str) -> float:
        """Returns the time that a method took, milliseconds."""
        return self.describe_ms if method == DESCRIPTOR else self.describe_ms + self.compare_ms


def describe_database(extractor: Extractor, folder: Path, names: Sequence[str], tools: Tools) -> Database:
    """Describes images below a folder. Raises SceneGeoLocError where one cannot be read."""
    descriptors = np.zeros((len(names), extractor.network.global_size), np.float32)
    keypoints = None
    if extractor.network.signature.finds_keypoints:
        shape = row_shape(extractor.network.signature.local_features.channels)
        keypoints = np.zeros((len(names), *shape), np.uint8)
    with tools.show("describing", "images") as on_progress:
        for i, name in enumerate(tracked(names, len(names), on_progress)):
            features = extractor.extract(read_image(folder / name))
            descriptors[i] = features.global_descriptor
            if keypoints is not None and features.strongest is not None:
                keypoints[i] = stored_row(features.strongest)
    return Database(descriptors, keypoints, extractor.input_size)


def compare(
    extractor: Extractor,
    folder: Path,
    queries: Sequence[str],
    database: Database,
    choose: Callable[[int, NDArray[np.float64]], NDArray[np.intp]],
    tools: Tools,
) -> Iterator[Comparison]:
    """Describes queries below a folder and compares each with images of a database.

    Args:
        choose: returns the images to compare with, of the query's number and its cosines (N,) with all.

    Raises SceneGeoLocError where an image cannot be read.
    """
    descriptors = database.descriptors.astype(np.float64)
    with tools.show("comparing", "queries") as on_progress:
        for i, name in enumerate(tracked(queries, len(queries), on_progress)):
            image = read_image(folder / name)
            stopwatch = Stopwatch()
            with stopwatch.step("describe"):
                features = extractor.extract(image)
            assert features.global_descriptor is not None, "the extractor is fitted"
            cosines = np.round(descriptors @ features.global_descriptor, TIE_DIGITS)
            images = choose(i, cosines)
            with stopwatch.step("compare"):
                agreements = database.agreements(images, features)
            times = stopwatch.times_ms
            yield Comparison(images, cosines[images], agreements, times["describe"], times["compare"])
