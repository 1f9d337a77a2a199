"""Matchers: local features of images, and which of two images' features show one point."""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.matchers.base import LocalFeatures, Matched, Matcher
from scene_geo_loc.matchers.encoder import EncoderMatcher
from scene_geo_loc.matchers.sift import SiftMatcher
from scene_geo_loc.matchers.xfeat import XFeatMatcher
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork

__all__ = ["MATCHERS", "LocalFeatures", "Matched", "Matcher", "make_matcher"]

MATCHERS: dict[str, type[Matcher]] = {
    matcher.name: matcher for matcher in (EncoderMatcher, SiftMatcher, XFeatMatcher)
}
"""The matchers by the names that settings and maps give them."""


def make_matcher(name: str, network: SceneNetwork, learned: Path | None = None) -> Matcher:
    """The matcher of a name, for images that `network` describes.

    Args:
        name: one of `MATCHERS`.
        network: whose input's pixels the features are told in.
        learned: what `Matcher.save` has written, where that is not to come from what is installed.

    Raises:
        MapError: the name is not known.
        CheckpointError: what the matcher has learned is not at hand.
    """
    if name not in MATCHERS:
        raise MapError(
            f"The map was built with the matcher {name!r}, which is not known here: update scene_geo_loc, "
            "or build the map again."
        )
    return MATCHERS[name](network, learned)
