"""Matchers: detection of local features in images, and matching of the features of two images."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from scene_geo_loc.core.errors import MapError

if TYPE_CHECKING:
    from scene_geo_loc.matchers.base import Matcher
    from scene_geo_loc.networks.inference_network import InferenceNetwork

MATCHERS = {
    "encoder": "encoder.EncoderMatcher",
    "sift": "sift.SiftMatcher",
    "xfeat": "xfeat.XFeatMatcher",
}
"""Class of each matcher in this folder, by the name that settings and maps use, imported when it is used.

A new matcher is one file and one line here.  A matcher outside the package is given to `MapBuilder` and to
`Localizer` as a class.
"""


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


def make_matcher(
    name: str,
    network: InferenceNetwork,
    weights_path: Path | None = None,
    matcher: type[Matcher] | None = None,
) -> Matcher:
    """Returns the matcher of a map.

    Args:
        name: name of the matcher in the map.
        network: describes the map's images.
        weights_path: file that `Matcher.save` wrote, or None for a new map.
        matcher: a custom matcher, used instead of the package's matcher of that name.

    Raises:
        MapError: there is no such matcher, or `matcher` has another name.
        CheckpointError: weights that the matcher needs are not there.
    """
    if matcher is not None and matcher.name != name:
        raise MapError(f"The map was built with the matcher {name!r}, and {matcher.name!r} is given.")
    return (matcher or matcher_class(name))(network, weights_path)
