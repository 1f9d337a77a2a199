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

"""Matchers: detection of local features in images, and matching of the features of two images."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from scene_geo_loc.core.errors import MapError

if TYPE_CHECKING:
    from scene_geo_loc.matchers.base import Matcher
    from scene_geo_loc.networks.inference_network import InferenceNetwork
    from scene_geo_loc.networks.user.description import PairMatches
    from scene_geo_loc.networks.user.user_network import UserNetwork

MATCHERS = {
    "aliked": "aliked.AlikedMatcher",
    "encoder": "encoder.EncoderMatcher",
    "keypoints": "scene_keypoints.SceneKeypointMatcher",
    "sift": "sift.SiftMatcher",
    "xfeat": "xfeat.XFeatMatcher",
}
"""Class of each matcher in this folder, by the name that settings and maps use, imported when it is used.

A new matcher is one file and one line here.  A matcher outside the package is given to `MapBuilder` and to
`Localizer` as a class.
"""

NETWORK_FEATURES = "network"
"""Choice of the network's own local features: its keypoints if it finds them, else those of its cells."""

_OF_NETWORK = ("encoder", "keypoints")

USER = "onnx"
"""Name, in maps, of the matcher of keypoints that a user's network detects."""


def matcher_class(name: str) -> type[Matcher]:
    """Returns the matcher of a name. Raises MapError where there is none."""
    if name not in MATCHERS:
        raise MapError(
            f"There is no matcher {name!r}; there are {', '.join(MATCHERS)}. Update scene_geo_loc, or give "
            "the class of the matcher that the map was built with."
        )
    module, attribute = MATCHERS[name].split(".")
    found: type[Matcher] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return found


def matcher_choices() -> tuple[str, ...]:
    """Returns what a user can choose for a new map."""
    return NETWORK_FEATURES, *(name for name in MATCHERS if name not in _OF_NETWORK)


def chosen_matcher_class(choice: str, network: InferenceNetwork) -> type[Matcher]:
    """Returns the matcher of a new map of a network. Raises MapError where there is no such choice."""
    if choice != NETWORK_FEATURES:
        return matcher_class(choice)
    return matcher_class("keypoints" if network.signature.finds_keypoints else "encoder")


def make_matcher(
    name: str,
    network: InferenceNetwork,
    weights_path: Path | None = None,
    matcher: type[Matcher] | None = None,
    *,
    pair_path: Path | None = None,
    device: str = "auto",
) -> Matcher:
    """Returns the matcher of a map.

    Args:
        name: name of the matcher in the map.
        network: describes the map's images.
        weights_path: file that `Matcher.save` wrote, or None for a new map.
        matcher: a custom matcher, used instead of the package's matcher of that name.
        pair_path: copy of a user's network that matches the keypoints, or None.
        device: "auto", "cpu" or "cuda", where users' networks run.

    Raises:
        MapError: there is no such matcher, or `matcher` has another name.
        CheckpointError: weights that the matcher needs are not there.
    """
    if matcher is not None and matcher.name != name:
        raise MapError(f"The map was built with the matcher {name!r}, and {matcher.name!r} is given.")
    if matcher is None and name == USER:
        from scene_geo_loc.matchers.user_keypoints import UserKeypointMatcher

        made: Matcher = UserKeypointMatcher(network, weights_path, device)
    else:
        made = (matcher or matcher_class(name))(network, weights_path)
    if pair_path is None:
        return made
    from scene_geo_loc.networks.user.description import PairMatches
    from scene_geo_loc.networks.user.user_network import UserNetwork

    return with_pair_network(made, UserNetwork.read_copy(pair_path, PairMatches), device)


def with_pair_network(matcher: Matcher, network: UserNetwork[PairMatches], device: str) -> Matcher:
    """Returns a matcher of the same keypoints by a user's network. Raises MapError where there are none."""
    from scene_geo_loc.matchers.keypoints import SparseMatcher
    from scene_geo_loc.matchers.pair_network import PairNetworkMatcher

    if not isinstance(matcher, SparseMatcher):
        raise MapError(f"{network.name} matches keypoints, and the matcher {matcher.name!r} has none.")
    return PairNetworkMatcher(matcher, network, device)
