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

"""Conditions under which keyframes of several maps can stand in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import rotation_error_deg, transform
from scene_geo_loc.mapping.map_info import CELLS
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BAG_OF_WORDS, BuilderSettings
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.storage import FittedStorage

SAME_DATUM_M = 1.0
"""Datums that lie farther apart than this are two, unless they were fitted to positions with errors.

Drives whose poses are on the grid of UTM have datums that are exact at each drive: a kilometre apart they
differ by up to 1 m, since the grid has another scale, and by 0.01°, since the Earth is round.
"""
SAME_DATUM_DEG = 0.05
"""The same for the directions of their axes."""
DATUM_SIGMAS = 4.0
"""Datums that were fitted may differ by this multiple of their standard deviations."""


def check_combinable(maps: Sequence[ReferenceMap]) -> None:
    """Raises MapError unless the keyframes of all maps can stand in one.

    Descriptors and features must be of one network, whose parts that are fitted to a place must be the same,
    and poses must be in one frame.
    """
    first = maps[0]
    for other in maps[1:]:
        check_same_features(first, other)
        check_same_frame(first, other)


def check_same_frame(first: ReferenceMap, other: ReferenceMap) -> None:
    """Raises MapError unless the poses of two maps are in one frame."""
    if first.map_frame != other.map_frame:
        raise MapError(
            f"{other.path} has its poses in the frame {other.map_frame!r} and {first.path} in "
            f"{first.map_frame!r}: bring it into that frame first."
        )
    _check_datum(first, other)


def check_same_features(first: ReferenceMap, other: ReferenceMap) -> None:
    """Raises MapError unless descriptors and features of two maps can be compared."""
    _check_same("network", first, other, first.info.network_digest, other.info.network_digest)
    for name, role in (
        ("matcher.safetensors", "weights of the matcher"),
        ("descriptor.safetensors", "descriptor"),
        ("pair_matcher.safetensors", "matcher of pairs"),
        ("vocabulary.safetensors", "visual words"),
    ):
        _check_same(role, first, other, *(_digest(m, name) for m in (first, other)))
    _check_same("matcher", first, other, first.info.matcher, other.info.matcher)
    shapes = [{name: array.shape[1:] for name, array in m.features.items()} for m in (first, other)]
    _check_same("shape of features", first, other, *shapes)


def check_like(like: ReferenceMap, matcher: Matcher, settings: BuilderSettings) -> None:
    """Raises MapError unless keyframes of a new map can stand in one map with those of `like`."""
    if like.info.matcher != matcher.name:
        raise MapError(
            f"{like.path} has the features of {like.info.matcher!r}, and those of {matcher.name!r} are asked "
            "for: choose the same matcher."
        )
    if isinstance(matcher.storage, FittedStorage):
        raise MapError(
            f"The features of {like.path} are fitted to its own images, so no other keyframes can stand "
            "beside them: choose a network or a matcher that finds keypoints."
        )
    if like.vocabulary_file is not None and settings.descriptor in (None, BAG_OF_WORDS):
        raise MapError(
            f"{like.path} describes images by visual words: set `descriptor` to {like.vocabulary_file}."
        )


def check_extendable(reference_map: ReferenceMap) -> None:
    """Raises MapError unless new keyframes can be made for a map by what its folder holds."""
    if CELLS in reference_map.info.files:
        raise MapError(
            f"The features of {reference_map.path} are fitted to its own images, so no other keyframes can "
            "stand beside them: build it with a network or a matcher that finds keypoints."
        )


def settings_like(reference_map: ReferenceMap) -> BuilderSettings:
    """Returns settings for keyframes that are to stand in a map; see `check_extendable`.

    They are those of the map, but depth that no sensor measured comes from the images.  A user's networks are
    named as in the map, whose copies `MapBuilder` takes with `like`.
    """
    known = BuilderSettings.model_fields
    values = {name: value for name, value in reference_map.info.settings.items() if name in known}
    if reference_map.vocabulary_file is not None:
        values["descriptor"] = str(reference_map.vocabulary_file)
    if values.get("depth", "measured") == "measured":
        values["depth"] = "auto"
    return BuilderSettings(**values)


def _check_same(role: str, first: ReferenceMap, other: ReferenceMap, a: object, b: object) -> None:
    if a != b:
        raise MapError(
            f"{other.path} has another {role} than {first.path}, so their keyframes cannot be compared: "
            "build it again like that map, or let it be described anew from the images of its drives."
        )


def _digest(reference_map: ReferenceMap, name: str) -> str | None:
    record = reference_map.info.files.get(name)
    return None if record is None else record.sha256


def _check_datum(first: ReferenceMap, other: ReferenceMap) -> None:
    """Raises MapError where two datums differ by more than the errors that they were fitted with."""
    if first.georeference is None or other.georeference is None:
        return
    fits = [m.georeference.fit for m in (first, other) if m.georeference and m.georeference.fit]
    centre = np.array(fits[0].centre_m) if fits else np.zeros(3)
    T_first, T_other = (m.georeference.datum.T_ecef_map for m in (first, other) if m.georeference)
    R = T_first[:3, :3]
    off_m = R.T @ (transform(T_other, centre) - transform(T_first, centre))
    std_m = np.sqrt(sum((np.diag(fit.covariance_enu(centre)) for fit in fits), np.zeros(3)))
    turn_deg = float(rotation_error_deg(T_first, T_other))
    turn_std_deg = float(np.hypot.reduce([fit.yaw_std_deg for fit in fits] or [0.0]))
    limit_m = SAME_DATUM_M + DATUM_SIGMAS * float(np.linalg.norm(std_m))
    limit_deg = SAME_DATUM_DEG + DATUM_SIGMAS * turn_std_deg
    if float(np.linalg.norm(off_m)) > limit_m or turn_deg > limit_deg:
        raise MapError(
            f"{other.path} has a datum {np.linalg.norm(off_m):.2f} m and {turn_deg:.3f}° from that of "
            f"{first.path}, and {limit_m:.2f} m and {limit_deg:.3f}° are allowed: bring it into that frame "
            "first, or give it that datum with `map georeference`."
        )
