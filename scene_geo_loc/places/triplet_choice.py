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

"""The choice of the views of triplets.

After section IV of "Learning Scene Geometry for Visual Localization in Challenging Conditions" (ICRA 2019)
and its authors' code: anchors are from one run, positives and negatives from the others; a positive is nearer
than 7 m and turned by less than 10 degrees from the anchor; a negative is farther than 700 m.  Two rules are
this project's: views in another region of the training area are negatives too, since they show another
street; and negatives are from the anchor's camera, since views to the rear and to the side are too easy to
separate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.places.areas import Areas
from scene_geo_loc.places.places import places_of
from scene_geo_loc.places.triplet_settings import TripletSettings
from scene_geo_loc.places.triplets import (
    Sample,
    Triplet,
    TripletInfo,
    Triplets,
    relative,
)
from scene_geo_loc.places.views import Cameras, View
from scene_geo_loc.traversals.skipped import Skipped

PLACE_DISTANCE_M = 2.0
"""Distance along a run between candidate views, so that several of another run lie within 7 m of an
anchor.
"""

OTHER_REGION_DISTANCE_M = 50.0
"""Smallest distance of a negative in another region: twice the largest distance of a correct retrieval."""


def make_triplets(
    root: Path, runs: Mapping[str, Cameras], areas: Areas, settings: TripletSettings
) -> Triplets:
    """Makes triplets of the views of runs inside the training area; they follow from the seed.

    There are fewer than requested if too few anchors have enough positives and negatives.

    Args:
        root: folder of the dataset, to which paths are relative.
        runs: anchors are from the first, positives and negatives from the others; with one run, all are from
            it.
        areas: of the dataset.
        settings: numbers, distances and the seed.

    Raises SceneGeoLocError if no triplet can be made.
    """
    left_out = Skipped()
    views: list[list[View]] = []
    for run, cameras in runs.items():
        places = places_of(run, cameras, PLACE_DISTANCE_M, areas.train, left_out)
        views.append([view for place in places for view in place])
        if not views[-1]:
            because = f" ({left_out})" if left_out else ""
            raise SceneGeoLocError(
                f"{root / run}: no place lies in the training area{because}; check its poses and the areas."
            )
    anchors = views[0]
    chooser = _Chooser([view for of_run in views[1:] for view in of_run] or anchors, areas, settings)

    def sample(view: View) -> Sample:
        files = view.files
        return Sample(
            view.run, view.camera, files.stamp_ns, relative(files.image, root), view.T_map_camera, depth=None
        )

    rng = np.random.default_rng(settings.seed)
    triplets: list[Triplet] = []
    few = {"positives": 0, "negatives": 0}
    for anchor in (anchors[i] for i in rng.permutation(len(anchors)).tolist()):
        if len(triplets) == settings.triplets:
            break
        positives, negatives = chooser.positives(anchor), chooser.negatives(anchor)
        if len(positives) < settings.positives:
            few["positives"] += 1
        elif len(negatives) < settings.negatives:
            few["negatives"] += 1
        else:
            chosen = (
                rng.choice(positives, settings.positives, replace=False),
                rng.choice(negatives, settings.negatives, replace=False),
            )
            groups = ([sample(chooser.views[i]) for i in group] for group in chosen)
            triplets.append(Triplet(sample(anchor), *groups))
    if not triplets:
        raise SceneGeoLocError(f"{root}: {_why_none(chooser, anchors, few, settings)}")
    for kind, count in few.items():
        if count:
            left_out.add(f"anchors with fewer than {getattr(settings, kind)} {kind}", count)
    info = TripletInfo(
        runs=list(runs),
        triplets=len(triplets),
        settings=settings,
        areas=areas.to_json(),
        left_out=left_out.counts,
    )
    return Triplets(root, info, triplets)


class _Chooser:
    """Candidates for positives and negatives."""

    def __init__(self, views: Sequence[View], areas: Areas, settings: TripletSettings) -> None:
        self.views = views
        self._area, self._settings = areas.train, settings
        self._positions = np.array([view.position for view in views])
        self._headings = np.array([view.heading_rad for view in views])
        self._regions = self._area.region_of(self._positions)
        self._cameras = np.array([view.camera for view in views])

    def positives(self, anchor: View) -> NDArray[np.intp]:
        """Returns the numbers of the views that may be positives of an anchor."""
        turn = np.abs(np.angle(np.exp(1j * (self._headings - anchor.heading_rad))))
        near = self._distances(anchor) < self._settings.positive_distance_m
        near &= turn < np.radians(self._settings.positive_heading_deg)
        return np.array([i for i in np.flatnonzero(near).tolist() if self.views[i] is not anchor], np.intp)

    def negatives(self, anchor: View) -> NDArray[np.intp]:
        """Returns the numbers of the views that may be negatives of an anchor."""
        distances = self._distances(anchor)
        elsewhere = self._regions != self._area.region_of(anchor.position)
        far = (elsewhere & (distances > OTHER_REGION_DISTANCE_M)) | (
            distances > self._settings.negative_distance_m
        )
        return np.flatnonzero(far & (self._cameras == anchor.camera))

    def reach(self, anchor: View) -> float:
        """Returns the distance in metres beyond which an anchor has enough negatives; 0 if there is none."""
        same = np.sort(self._distances(anchor)[self._cameras == anchor.camera])
        count = self._settings.negatives
        return float(same[-count]) if len(same) >= count else 0.0

    def _distances(self, anchor: View) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(self._positions - anchor.position, axis=1))


def _why_none(
    chooser: _Chooser, anchors: Sequence[View], few: dict[str, int], settings: TripletSettings
) -> str:
    if few["negatives"]:
        reach = float(np.median([chooser.reach(anchor) for anchor in anchors]))
        return (
            f"no anchor has {settings.negatives} negatives farther than {settings.negative_distance_m:g} m "
            f"or in another region of the training area; half of the anchors have them beyond {int(reach)} "
            "m: choose a smaller negative distance, or fewer negatives."
        )
    return (
        f"no anchor has {settings.positives} positives nearer than {settings.positive_distance_m:g} m and "
        f"turned by less than {settings.positive_heading_deg:g} degrees: check that the runs drive the same "
        "streets in the same direction, and that their poses are right."
    )
