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

"""Makes what a map stores of its keyframes: features with their depth, and what describes the image."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.mapping.keyframe_depth.keyframe_depth import as_at_once, choose_depth, measured_depth
from scene_geo_loc.mapping.keyframe_depth.multi_view_depth import REFINED_SOURCES
from scene_geo_loc.mapping.partial_map import KeyframeRecord
from scene_geo_loc.mapping.search.place_keypoints import keeps_place_keypoints, stored_row
from scene_geo_loc.mapping.settings import BAG_OF_WORDS, WITHOUT_DEPTH, BuilderSettings, is_vocabulary_file
from scene_geo_loc.mapping.user_networks import UserNetworks
from scene_geo_loc.mapping.waiting_keyframes import CompleteKeyframe
from scene_geo_loc.matchers import chosen_matcher_class, with_pair_network
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.storage import KeypointStorage, Rows
from scene_geo_loc.matchers.user_keypoints import UserKeypointMatcher
from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.image_descriptor import ImageDescriptor
from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.networks.user.image_network import DescriptorNetwork
from scene_geo_loc.traversals.holes import away_from_holes, without_holes
from scene_geo_loc.visual_words.image_descriptor import VisualWords
from scene_geo_loc.visual_words.vocabulary import Vocabulary


class Keyframe(NamedTuple):
    """The parts of a keyframe that the map stores; see `PartialMap.append`."""

    record: KeyframeRecord
    rows: Rows
    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    described: Sequence[NDArray]
    image: NDArray[np.uint8]


class KeyframeMaker:
    """Makes keyframes by the networks and the matcher of a build.

    Attributes:
        settings: of the build.
        network: has the input of the images once `start` knows their shape.
        provenance: of the network.
        user_networks: the user's own.
        vocabulary: describes images in place of the network, or None.
        extractor, matcher: of the map, set by `start`.
        is_started: whether they are there.
        in_use: held while they are used, as they serve one keyframe at a time.
    """

    extractor: Extractor
    matcher: Matcher

    def __init__(
        self,
        settings: BuilderSettings,
        network: Path | None,
        user_networks: UserNetworks,
        matcher: type[Matcher] | None,
        device: str,
    ) -> None:
        """Loads the networks.

        Args:
            settings: of the build.
            network: a checkpoint; None: the network of the package, whose input is resized to the images.
            user_networks: that the settings name.
            matcher: a custom matcher, or None.
            device: see `Extractor`.

        Raises:
            MapError: the settings do not go together.
            CheckpointError: the network or the vocabulary cannot be read.
        """
        self.settings, self.user_networks = settings, user_networks
        self._matcher_class, self._device = matcher, device
        self._keeps_input = network is not None
        self.network, self.provenance = load_network(network) if network else default_network()
        if settings.depth == "learned" and not self.network.infers_depth:
            raise MapError(
                "The network infers no depth, and depth is to be learned: set `depth` to `auto`, which "
                "triangulates it from neighbouring keyframes, or name a network that was trained for depth."
            )
        file = settings.descriptor
        self.vocabulary = (
            Vocabulary.read(Path(file)) if file is not None and is_vocabulary_file(file) else None
        )
        if matcher is not None and settings.local_features is not None:
            raise MapError(
                f"The matcher {matcher.name!r} has features of its own: leave `local_features` unset."
            )
        self.is_started = False
        self.in_use = threading.Lock()

    @property
    def refines_depth(self) -> bool:
        """True if depth that was not measured is refined from neighbouring keyframes in the end."""
        return self.settings.depth in ("auto", "learned")

    def start(self, camera: Camera, is_rolling: bool) -> None:
        """Makes extractor and matcher for the images of a camera, whose rows may be of different times.

        Raises MapError where the matcher does not serve the settings or the camera.
        """
        if not self._keeps_input:
            self.network = self.network.with_input_for(camera.width, camera.height)
        self.extractor = Extractor(self.network, self._device, self._new_descriptor())
        self.matcher = self._new_matcher()
        if is_rolling and not isinstance(self.matcher.storage, KeypointStorage):
            raise MapError(
                "The camera has a rolling shutter, which cannot be corrected in features of cells, whose "
                "places are fixed: set `matcher` to one of keypoints, such as xfeat or sift, or the readout "
                "time to 0."
            )
        self.is_started = True

    def make(self, complete: CompleteKeyframe) -> Keyframe:
        """Returns what the map stores of a keyframe; several threads may call it at once."""
        frame, size, matcher = complete.frame, self.matcher.input_size, self.matcher
        visible = frame.visible
        if visible is not None:
            frame = replace(frame, image=without_holes(frame.image, visible))
        measured = None
        if self.settings.depth not in ("learned", "none"):
            measured = measured_depth(
                frame,
                complete.points,
                complete.occluder_m,
                (int(size[0]), int(size[1])),
                matcher.depth_pixels,
            )
        with self.in_use:
            features = self.extractor.extract(frame.image, visible=visible)
            dense = choose_depth(measured, features, self.extractor.network, self.settings.depth)
            visible_features = np.ones((1, 1), bool)
            if visible is not None:
                visible_features = away_from_holes(visible)
                dense = replace(dense, visible=visible_features)
            # Where neighbouring keyframes may give the depth later, or none is needed, all features are kept.
            is_refined = self.refines_depth and dense.source in REFINED_SOURCES
            keeps_all = is_refined or self.settings.depth in WITHOUT_DEPTH
            known = visible_features if keeps_all else dense.known
            rows, pixels = matcher.rows(frame.image, features, known)
        depth, sigma = dense.at(pixels, size)
        if frame.readout_motion is not None:
            storage = matcher.storage
            assert isinstance(storage, KeypointStorage)
            moved, depth, sigma = as_at_once(frame, frame.readout_motion, pixels, size, depth, sigma)
            rows = storage.moved(rows, moved)
        record = KeyframeRecord.of(frame, dense.source)
        described = features.described_by
        if features.strongest is not None and keeps_place_keypoints(self.extractor):
            described = (*described, stored_row(features.strongest))
        return Keyframe(record, rows, depth, sigma, described, complete.frame.image)

    def _new_descriptor(self) -> ImageDescriptor | None:
        """Returns what describes images in place of the network, or None."""
        if self.vocabulary is not None or self.settings.descriptor == BAG_OF_WORDS:
            return VisualWords(self.vocabulary)
        given = self.user_networks.descriptor
        return None if given is None else DescriptorNetwork(given, self._device)

    def _new_matcher(self) -> Matcher:
        """Returns the matcher of a new map."""
        settings, user = self.settings, self.user_networks
        if user.local_features is not None:
            matcher: Matcher = UserKeypointMatcher(
                self.network, device=self._device, given=user.local_features
            )
        else:
            named = chosen_matcher_class(settings.local_features or settings.matcher, self.network)
            matcher = (self._matcher_class or named)(self.network)
        if settings.depth in WITHOUT_DEPTH and not isinstance(matcher.storage, KeypointStorage):
            raise MapError(
                f"`depth` is `{settings.depth}`, and the features of cells need a depth: set `matcher` "
                "to one of keypoints, such as xfeat or sift, or name a network that finds keypoints."
            )
        if user.matcher is None:
            return matcher
        return with_pair_network(matcher, user.matcher, self._device)
