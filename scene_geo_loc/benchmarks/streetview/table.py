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

"""Tables of the street-view benchmark as text, and its goals against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scene_geo_loc.benchmarks.streetview.methods import METHODS, PACKAGE, WORDS
from scene_geo_loc.benchmarks.streetview.results import DriveResult, StreetviewResults
from scene_geo_loc.metrics.continuity import BIN_EDGES_M, Continuity
from scene_geo_loc.metrics.published import slides_gis
from scene_geo_loc.metrics.published.slides_gis import PrintedContinuity

UNKNOWN = "–"

HEADINGS = (
    "localized",
    "%",
    "mean m",
    "median m",
    *(f"{low:g}–{low + 1:g} m, %" for low in BIN_EDGES_M[:-1]),
    f"≥ {BIN_EDGES_M[-1]:g} m, %",
    "< 2 m, %",
)
"""Headings of the numbers of a drive."""

OUR_HEADINGS = (*HEADINGS, "in 95 %, %", "ms")
"""Headings of the numbers of a drive of ours, with the covariance's calibration and the time."""

LOCALIZED, MEAN_M, BELOW_1M, GAIN, WIDE_M, LOCALIZED_WIDE, INSIDE = 0.95, 0.5, 0.9, 2.0, 50.0, 0.6, 0.95
"""Goals, see `goals`."""

_TITLES = {method.key: method.title for method in METHODS}


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        headings: of all columns; the first ones name the row.
        lines: rows of cells.
    """

    headings: Sequence[str]
    lines: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Goal:
    """A goal and what was measured.

    Attributes:
        text: the goal.
        printed: the slides' number.
        ours: what was measured, drive by drive.
        met: whether it is met; None where nothing was measured.
    """

    text: str
    printed: str
    ours: str
    met: str | None


def slides_table(results: StreetviewResults) -> Table:
    """Returns the slides' rows, then ours at their spacing, without and with virtual views."""
    lines = [
        ["slides: original, 13 panoramas in 287 m", *_printed(slides_gis.street_1())],
        ["slides: original, 28 panoramas in 498 m", *_printed(slides_gis.street_2_original())],
        ["slides: with 53 virtual panoramas", *_printed(slides_gis.street_2_augmented())],
    ]
    for key in (WORDS, PACKAGE):
        for one in results.slides_sets:
            for drive in results.find(set=one.name, method=key):
                name = f"{one.name}: {_TITLES[key]}, {drive.drive}{_views(drive)}"
                lines.append([name, *_cells(drive.continuity)])
    return Table(["", *HEADINGS], lines)


def spacing_table(results: StreetviewResults) -> Table:
    """Returns the package's method in every set without errors of its tags, by spacing."""
    parts = results.slides_sets[1:]
    sets = sorted(
        (one for one in results.sets if not one.has_tag_errors and one not in parts),
        key=lambda one: one.spacing_m,
    )
    lines = [
        [f"{one.spacing_m:.0f}", str(one.panoramas), f"{drive.drive}{_views(drive)}", *_our_cells(drive)]
        for one in sets
        for drive in results.find(set=one.name, method=PACKAGE)
    ]
    return Table(["spacing, m", "panoramas", "queries", *OUR_HEADINGS], lines)


def method_tables(results: StreetviewResults) -> dict[str, Table]:
    """Returns a table of all methods at the slides' spacing for each drive, by its name."""
    tables = {}
    for name in dict.fromkeys(drive.drive for drive in results.drives):
        lines = [
            [one.name, f"{_TITLES[drive.method]}{_views(drive)}", *_our_cells(drive)]
            for one in results.slides_sets
            for drive in results.find(set=one.name, drive=name)
        ]
        tables[name] = Table(["set", "method", *OUR_HEADINGS], lines)
    return tables


def virtual_table(results: StreetviewResults) -> Table:
    """Returns the counts of virtual views by distance, the slides' and ours."""
    lines = []
    for printed in slides_gis.virtual_views():
        name = results.slides_set.name
        counts = [one for one in results.virtual_views if one.distance_m == printed.distance_m]
        ours = next((one for one in counts if one.set == name), None)
        lines.append(
            [
                f"{printed.distance_m:g} m",
                str(printed.invalid_positions),
                UNKNOWN if ours is None else f"{ours.inside} of {ours.positions}",
                UNKNOWN if ours is None else str(ours.nearer),
                f"{100 * printed.share_with_null_pixels:g}",
                UNKNOWN if ours is None else _percent(ours.views_with_empty),
                UNKNOWN if ours is None else _percent(ours.empty),
            ]
        )
    return Table(
        [
            "distance",
            "slides: invalid positions",
            "ours: invalid positions",
            "ours: nearer to another panorama",
            "slides: views with empty pixels, %",
            "ours: views with empty pixels, %",
            "ours: empty pixels, %",
        ],
        lines,
    )


def tag_table(results: StreetviewResults) -> Table:
    """Returns the sets whose geo-tags err, beside the set with the slides' spacing."""
    sets = [results.slides_set, *(one for one in results.sets if one.has_tag_errors)]
    lines = [
        [
            one.name,
            _tag(one.position_std_m, one.heading_std_deg),
            _tag(one.position_error_m, one.heading_error_deg),
            f"{_TITLES[drive.method]}, {drive.drive}{_views(drive)}",
            *_our_cells(drive),
        ]
        for one in dict.fromkeys(sets)
        for drive in results.find(set=one.name)
        if len(sets) > 1 and (one.has_tag_errors or (drive.method, drive.virtual_m) == (PACKAGE, None))
    ]
    return Table(["set", "stated σ of tags", "mean error of tags", "", *OUR_HEADINGS], lines)


def regression_table() -> Table:
    """Returns the slides' comparison of image features with a network that regresses x, y and the heading."""
    lines = [
        [
            row.sequence,
            f"{row.length_m:g}",
            str(row.images),
            str(row.panoramas),
            str(row.virtual_views),
            "fail" if row.features_m is None else f"{row.features_m:.2f}",
            "fail" if row.network_m is None else f"{row.network_m:.2f}",
        ]
        for row in slides_gis.pose_regression()
    ]
    headings = [
        "sequence",
        "m",
        "images",
        "panoramas",
        "virtual views",
        "features, mean m",
        "network, mean m",
    ]
    return Table(headings, lines)


def goals(results: StreetviewResults) -> list[Goal]:
    """Returns the goals of street view, each with what was measured."""
    chosen = results.slides_set
    printed, augmented = slides_gis.street_2_original(), slides_gis.street_2_augmented()
    main = results.find(set=chosen.name, method=PACKAGE, virtual_m=None)
    exact = [one for one in results.sets if not one.has_tag_errors]
    widest = max(exact, key=lambda one: one.spacing_m, default=None)
    wide: list[DriveResult] = []
    if widest is not None and widest.spacing_m >= 0.9 * WIDE_M:
        wide = results.find(set=widest.name, method=PACKAGE, virtual_m=None)
    erring = [drive for one in results.sets if one.has_tag_errors for drive in results.find(set=one.name)]
    words = [
        (before, after)
        for one in results.slides_sets
        for before in results.find(set=one.name, method=WORDS, virtual_m=None)
        for after in results.find(set=one.name, method=WORDS, drive=before.drive)
        if after.virtual_m is not None
    ]
    return [
        _goal(
            f"≥ {100 * LOCALIZED:g} % of the queries localized, panoramas every {chosen.spacing_m:.0f} m",
            f"{100 * printed.continuity:.1f} %, with virtual views {100 * augmented.continuity:.1f} %",
            main,
            lambda found: found.share,
            _percents,
            lambda value: value >= LOCALIZED,
        ),
        _goal(
            f"mean error ≤ {MEAN_M:g} m",
            f"{printed.mean_error_m:g} m, with virtual views {augmented.mean_error_m:g} m",
            main,
            lambda found: found.mean_m,
            lambda value: f"{value:.3f} m",
            lambda value: value <= MEAN_M,
        ),
        _goal(
            f"{100 * BELOW_1M:g} % of the poses off by less than 1 m",
            f"{100 * (printed.bins or (0,))[0]:.0f} %, with virtual views "
            f"{100 * (augmented.bins or (0,))[0]:.0f} %",
            main,
            lambda found: found.below_1m,
            _percents,
            lambda value: value >= BELOW_1M,
        ),
        Goal(
            f"virtual views multiply the continuity of BoVW by {GAIN:g}",
            f"×{augmented.continuity / printed.continuity:.2f}",
            "; ".join(
                f"{before.drive} {before.continuity.localized} → {after.continuity.localized} "
                f"of {after.continuity.queries}"
                for before, after in words
            ),
            _met(
                [before.drive for before, _ in words],
                [
                    after.continuity.localized >= max(1, GAIN * before.continuity.localized)
                    for before, after in words
                ],
            ),
        ),
        _goal(
            f"≥ {100 * LOCALIZED_WIDE:g} % of the queries localized, panoramas every {WIDE_M:g} m",
            UNKNOWN,
            wide,
            lambda found: found.share,
            _percents,
            lambda value: value >= LOCALIZED_WIDE,
        ),
        Goal(
            f"geo-tags that err: about {100 * INSIDE:g} % of the positions in the stated 95 % ellipsoid",
            UNKNOWN,
            "; ".join(
                f"{drive.drive} in {drive.set} by {_TITLES[drive.method]}{_views(drive)} "
                f"{_percents(drive.inside_95)}"
                for drive in erring
                if drive.inside_95 is not None
            ),
            _met(
                [drive.drive for drive in erring if drive.inside_95 is not None],
                [drive.inside_95 >= INSIDE for drive in erring if drive.inside_95 is not None],
            ),
        ),
    ]


def _goal(
    text: str,
    printed: str,
    drives: Sequence[DriveResult],
    number: Callable[[Continuity], float | None],
    written: Callable[[float], str],
    is_met: Callable[[float], bool],
) -> Goal:
    values = [(drive.drive, number(drive.continuity)) for drive in drives]
    return Goal(
        text,
        printed,
        "; ".join(f"{name} {UNKNOWN if value is None else written(value)}" for name, value in values),
        _met([name for name, _ in values], [value is not None and is_met(value) for _, value in values]),
    )


def _met(names: Sequence[str], met: Sequence[bool]) -> str | None:
    """Returns "yes", "no", or how many of the results meet a goal and the drives whose results all do."""
    if not names:
        return None
    if all(met) or not any(met):
        return "yes" if all(met) else "no"
    failed = {name for name, one in zip(names, met, strict=True) if not one}
    wholly = [name for name in dict.fromkeys(names) if name not in failed]
    return f"{sum(met)} of {len(met)}" + (f": {', '.join(wholly)}" if wholly else "")


def _views(drive: DriveResult) -> str:
    return "" if drive.virtual_m is None else f", virtual views {drive.virtual_m:g} m"


def _printed(row: PrintedContinuity) -> list[str]:
    bins = [UNKNOWN] * 4 if row.bins is None else [_percent(share) for share in row.bins]
    is_bound = row.bins is None
    return [
        f"{row.localized} of {row.queries}",
        _percent(row.continuity),
        f"{'< ' if is_bound else ''}{row.mean_error_m:g}",
        UNKNOWN,
        *bins,
        UNKNOWN if is_bound else _percent(max(0.0, 1 - sum(row.bins or ()))),
        _percent(row.below_2m),
    ]


def _cells(found: Continuity) -> list[str]:
    bins = [UNKNOWN] * 4 if found.bins is None else [_percent(share) for share in found.bins]
    return [
        f"{found.localized} of {found.queries}",
        _percent(found.share),
        _metres(found.mean_m),
        _metres(found.median_m),
        *bins,
        _percent(found.beyond),
        _percent(found.below_2m),
    ]


def _our_cells(drive: DriveResult) -> list[str]:
    ms = UNKNOWN if drive.ms is None else f"{drive.ms:.0f}"
    localized, *numbers = _cells(drive.continuity)
    if drive.dead_reckoned:
        localized += f", {drive.dead_reckoned} dead-reckoned"
    return [localized, *numbers, _percent(drive.inside_95), ms]


def _tag(metres: float | None, degrees: float | None) -> str:
    if metres is None and degrees is None:
        return UNKNOWN
    return f"{_metres(metres)} m, {UNKNOWN if degrees is None else f'{degrees:.2f}'}°"


def _metres(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f}"


def _percents(share: float) -> str:
    return f"{100 * share:.1f} %"
