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

"""The numbers of a pose benchmark, the comparison of its rows, and its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene_geo_loc.benchmarks.poses import comparisons as pose_comparisons
from scene_geo_loc.benchmarks.poses import table as pose_table
from scene_geo_loc.benchmarks.poses.errors import Place
from scene_geo_loc.benchmarks.poses.methods import METHODS, ODOMETRY_METHODS, RIG_METHOD
from scene_geo_loc.benchmarks.poses.page import write_pose_results
from scene_geo_loc.benchmarks.poses.plot import COLOURS
from scene_geo_loc.benchmarks.poses.results import (
    MethodResult,
    PoseBenchmark,
    QuerySetResult,
    gain_of,
    read_benchmark,
    write_benchmark,
)
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.paired import difference_along
from scene_geo_loc.metrics.pose_error import QueryRecord
from scene_geo_loc.metrics.published.bmvc2019 import Gain, benchmark_tables

pytestmark = pytest.mark.slow

NAMES = {"network": "net", "keyframes": 9}
TIMES = {"describe": 10.0, "retrieve": 2.0, "solve": 5.0, "total": 17.0}


def at(x: float) -> Pose:
    return make_pose(np.eye(3), (x, 0.0, 0.0))


RECORDS = [
    QueryRecord(0, Status.LOCALIZED, at(0), at(0.2), 17.0, TIMES, T_retrieved=at(1.0)),
    QueryRecord(1, Status.LOCALIZED, at(0), at(6.0), 17.0, TIMES, T_retrieved=at(2.0)),
    QueryRecord(2, Status.RETRIEVED_ONLY, at(0), None, 17.0, TIMES, T_retrieved=at(0.4)),
    QueryRecord(3, Status.LOST, at(0)),
]


def results(
    records: list[QueryRecord] = RECORDS, depth: str = "lidar", step: str = "pooled"
) -> QuerySetResult:
    return QuerySetResult(
        name="evening",
        map_name="morning",
        place=Place.OUTDOORS,
        methods=[
            MethodResult.retrieved(RECORDS, **NAMES),
            MethodResult.of(RECORDS, depth="lidar", step="pooled", **NAMES),
        ],
        not_run={"sensor depth": "There is none."},
    )


def row(
    errors: list[float], step: str = "pooled", depth: str = "lidar", network: str = "net"
) -> MethodResult:
    return MethodResult(
        network=network,
        depth=depth,
        step=step,
        keyframes=9,
        localized=None if step == "retrieval" else [True] * len(errors),
        position_m=list(errors),
        rotation_deg=list(errors),
        ms=[1.0] * len(errors),
    )


def test_medians_keep_the_pose_retrieved_and_count_no_answer_as_infinitely_far() -> None:
    retrieved, pooled = results().methods
    assert retrieved.position.tolist() == [1.0, 2.0, 0.4, np.inf]
    assert pooled.position.tolist() == [0.2, 6.0, 0.4, np.inf]
    assert (retrieved.median_m, pooled.median_m) == (1.5, 3.2)
    assert row([1.0]).model_copy(update={"position_m": [None]}).median_m is None


def test_shares_count_what_was_localized_and_of_retrieval_everything() -> None:
    queries = results()
    retrieved, pooled = queries.methods
    bound = queries.bounds["0.5 m 5°"]
    assert retrieved.within(bound).tolist() == [False, False, True, False]
    assert pooled.within(bound).tolist() == [True, False, False, False]
    assert (retrieved.localized_share, pooled.localized_share) == (None, 0.5)


def test_a_localized_pose_over_five_metres_off_is_a_wrong_fix_outdoors_and_half_a_metre_indoors() -> None:
    retrieved, pooled = results().methods
    assert pooled.wrong_fixes(Place.OUTDOORS) == 1
    assert row([0.4, 0.6, 6.0]).wrong_fixes(Place.INDOORS) == 2
    assert retrieved.wrong_fixes(Place.OUTDOORS) is None


def test_retrieval_takes_the_time_to_describe_and_retrieve_alone() -> None:
    retrieved, pooled = results().methods
    assert (retrieved.median_ms, pooled.median_ms) == (12.0, 17.0)


def test_the_gain_over_scenes_is_that_of_the_means_of_their_medians() -> None:
    before, after = [row([1.0]), row([3.0])], [row([0.5]), row([0.5])]
    assert gain_of(before, after) == Gain(4.0, 4.0)
    assert str(gain_of(before[:1], after[:1])) == "×2.0 / ×2.0"


def test_the_printed_gains_follow_from_the_printed_errors() -> None:
    """The printed gains follow from the printed medians within rounding: both define "gain" the same way."""
    for table in benchmark_tables():
        for network, printed in table.gains.items():
            sums = np.zeros((2, 2))
            for scene in table.scenes:
                rows = {line.method: line for line in scene.printed}
                for i, step in enumerate(("Retrieval", "PnlP")):
                    errors = rows[f"{step}, {network}"]
                    sums[i] += (errors.position_m, errors.rotation_deg)
            position, rotation = sums[0] / sums[1]
            assert position == pytest.approx(printed.position, abs=0.1)
            assert rotation == pytest.approx(printed.rotation, abs=0.15)


def test_everything_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    benchmark = PoseBenchmark(machine="a robot", sets=[results()])
    write_benchmark(tmp_path / "poses.json", benchmark)
    assert read_benchmark(tmp_path / "poses.json") == benchmark


@pytest.mark.parametrize("text", ["", "[]", '{"sets": []}', '{"protocol": "", "sets": [1]}'])
def test_a_file_of_something_else_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(SceneGeoLocError, match=r"other\.json does not hold the results of a pose benchmark"):
        read_benchmark(tmp_path / "other.json")


def test_rows_that_were_not_run_stay_empty_and_say_why() -> None:
    lines = pose_table.ablation(results())
    assert [line.name for line in lines] == ["retrieval", "pooled, lidar depth", "sensor depth"]
    assert lines[1].cells[0] == "3.200"
    assert (lines[2].cells, lines[2].note) == ((), "There is none.")
    assert len(lines[0].cells) == len(lines[1].cells) == len(pose_table.headings(results()))


def test_methods_are_compared_with_the_step_before_and_with_other_maps() -> None:
    far, near = [3.0] * 30, [1.0, 1.1] * 15
    methods = [
        row(far, "retrieval", ""),
        *(row(near, step, depth) for depth in ("sensor", "lidar") for step in ("alone", "pooled")),
    ]
    queries = QuerySetResult(name="q", map_name="m", place=Place.OUTDOORS, methods=methods)
    pairs = [
        (first.step, first.depth, second.step, second.depth)
        for first, second in pose_comparisons.pairs(queries)
    ]
    assert pairs == [
        ("alone", "sensor", "retrieval", ""),
        ("pooled", "sensor", "alone", "sensor"),
        ("alone", "lidar", "retrieval", ""),
        ("pooled", "lidar", "alone", "lidar"),
        ("pooled", "lidar", "pooled", "sensor"),
    ]
    words = pose_comparisons.comparisons_in_words(queries)
    assert "position -195.0 cm (95 % CI -195.0 to -195.0, significant)" in words[0]
    assert words[1] == (
        "pooled, sensor depth against alone, sensor depth: position the same; rotation the same; "
        "within 0.25 m 2° the same."
    )


def median(values: np.ndarray) -> np.ndarray:
    return np.quantile(values, 0.5, axis=1)


def test_a_difference_that_chance_might_make_is_told_from_one_that_it_would_not() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=200)
    clear = difference_along(noise, noise + 1.0, median)
    assert clear is not None
    assert clear.value == pytest.approx(-1.0)
    assert clear.is_significant
    chance = difference_along(noise, random.permutation(noise), median)
    assert chance is not None
    assert not chance.is_significant


def test_alike_neighbours_make_a_difference_less_certain() -> None:
    """Twenty stretches of ten alike queries have about as wide an interval as twenty queries."""
    random = np.random.default_rng(1)
    single = random.normal(0.3, 1.0, 20)
    few = difference_along(single, np.zeros(20), median)
    many = difference_along(single.repeat(10), np.zeros(200), median)
    assert few is not None
    assert many is not None
    assert many.high - many.low > 0.6 * (few.high - few.low)


def test_queries_without_an_answer_by_the_half_leave_no_difference() -> None:
    half = np.array([1.0] * 10 + [np.inf] * 10)
    assert difference_along(half, np.ones(20), median) is None
    with pytest.raises(ValueError, match="not answers to the same queries"):
        difference_along(half, np.ones(3), median)


def test_a_page_has_a_picture_for_each_of_two_sets_of_one_name(tmp_path: Path) -> None:
    benchmark = PoseBenchmark(machine="a robot", sets=[results(), results()])
    page, *pictures = write_pose_results(tmp_path / "poses.md", benchmark)
    assert [picture.name for picture in pictures] == [
        "poses_evening_morning.png",
        "poses_evening_morning_2.png",
    ]
    assert all(picture.is_file() for picture in pictures)
    assert all(f"(images/{picture.name})" in page.read_text() for picture in pictures)


def test_every_method_has_a_colour_of_its_own() -> None:
    assert len(set(COLOURS)) >= len({method.name for method in (*METHODS, *ODOMETRY_METHODS, RIG_METHOD)})
