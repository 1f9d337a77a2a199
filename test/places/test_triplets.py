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

"""Triplets of views, and their file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.depth.depth_maps import FORMAT, DepthMap
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.places.areas import Areas
from scene_geo_loc.places.triplet_choice import OTHER_REGION_DISTANCE_M, make_triplets
from scene_geo_loc.places.triplet_depth import attach_depth
from scene_geo_loc.places.triplet_settings import TripletSettings
from scene_geo_loc.places.triplets import SCHEMA, Sample, Triplet, TripletInfo, Triplets

RUNS = ("anchors", "second", "third")
AREAS = Areas.of(
    train=[[-50, -50, 320, 50], [-50, 50, 0, 60], [400, -50, 500, 50]],
    validation=[[330, -50, 380, 50]],
    test=[[500, -50, 620, 50]],
)
"""A street along x with two regions for training; two of the boxes touch."""
STREET = [(0.0, 0.0), (600.0, 0.0)]
LOOP_WIDTH = 900.0


def heading_deg(T: Pose) -> float:
    return float(np.degrees(np.arctan2(T[1, 2], T[0, 2])))


def turn_deg(a: Pose, b: Pose) -> float:
    return abs((heading_deg(a) - heading_deg(b) + 180) % 360 - 180)


def distance_m(a: Sample, b: Sample) -> float:
    return float(np.linalg.norm(a.T_map_camera[:2, 3] - b.T_map_camera[:2, 3]))


def street(drive: Any, root: Path, **options: Any) -> dict:
    """Three runs along one street, a little beside each other."""
    return {
        run: drive([(x + 0.7 * i, y + 1.5 * i) for x, y in STREET], root, run, **options)
        for i, run in enumerate(RUNS)
    }


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32),
    positives=st.integers(1, 5),
    near=st.floats(4.0, 12.0),
    angle=st.floats(1.0, 170.0),
    far=st.floats(60.0, 200.0),
    bends=st.lists(st.tuples(st.integers(0, 60), st.integers(-4, 4)), min_size=1, max_size=6),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_triplet_keeps_the_rules_and_no_image_is_of_another_area(
    drive: Any, seed: int, positives: Any, near: Any, angle: Any, far: Any, bends: Any
) -> None:
    corners = [(10.0 * x, 10.0 * y) for x, y in bends]
    runs = street(drive, Path("data"), step=2.0)
    runs["third"] = drive([(-30.0, -45.0), *corners, *STREET], Path("data"), "third", step=2.0)
    asked = TripletSettings(
        triplets=30,
        positives=positives,
        negatives=5,
        positive_distance_m=near,
        positive_heading_deg=angle,
        negative_distance_m=far,
        seed=seed,
    )
    try:
        made = make_triplets(Path("data"), runs, AREAS, asked)
    except SceneGeoLocError:
        assume(False)
    for triplet in made.items:
        anchor = triplet.anchor
        assert anchor.run == "anchors"
        assert len({sample.image for sample in triplet.samples}) == 1 + positives + 5
        for sample in triplet.positives:
            assert distance_m(anchor, sample) < near
            assert turn_deg(anchor.T_map_camera, sample.T_map_camera) < angle
        for sample in triplet.negatives:
            at = [AREAS.train.region_of(s.T_map_camera[:2, 3]) for s in (anchor, sample)]
            apart = distance_m(anchor, sample)
            assert apart > far or (at[0] != at[1] and apart > OTHER_REGION_DISTANCE_M)
            assert sample.camera == anchor.camera
        for sample in triplet.samples:
            xy = sample.T_map_camera[:2, 3]
            assert AREAS.train.contains(xy)
            assert not AREAS.test.contains(xy)
            assert not AREAS.validation.contains(xy)
        assert {sample.run for sample in (*triplet.positives, *triplet.negatives)} <= {"second", "third"}


@pytest.mark.slow
def test_at_the_paper_s_scale_the_authors_numbers_give_400_triplets(drive: Any) -> None:
    loop = [(0.0, 0.0), (LOOP_WIDTH, 0.0), (LOOP_WIDTH, 100.0), (0.0, 100.0)]
    areas = Areas.of([[-9, -9, 950, 150]], [[2000, 0, 2001, 1]], [[3000, 0, 3001, 1]])
    runs = {run: drive(loop, Path("data"), run) for run in RUNS}
    made = make_triplets(Path("data"), runs, areas, TripletSettings())
    assert len(made) == 400
    assert {(len(t.positives), len(t.negatives)) for t in made.items} == {(4, 20)}
    assert all(distance_m(t.anchor, sample) > 700 for t in made.items for sample in t.negatives)
    # Of the middle of the loop nothing is 700 m away.
    assert made.info.left_out["anchors with fewer than 20 negatives"] > 0
    assert all(abs(t.anchor.T_map_camera[0, 3] - 450) > 200 for t in made.items)


def test_the_seed_decides(drive: Any, tmp_path: Path) -> None:
    runs = street(drive, tmp_path)
    asked = TripletSettings(triplets=20, negative_distance_m=150)
    files = []
    for number, seed in enumerate((3, 3, 4)):
        settings_of = asked.model_copy(update={"seed": seed})
        file = tmp_path / f"{number}.parquet"
        make_triplets(tmp_path, runs, AREAS, settings_of).save(file)
        files.append(file.read_bytes())
    assert files[0] == files[1] != files[2]


def test_of_a_single_run_positives_are_its_own_but_never_the_anchor(drive: Any) -> None:
    runs = {"anchors": drive(STREET, Path("data"), "anchors")}
    asked = TripletSettings(triplets=50, negative_distance_m=150)
    for triplet in make_triplets(Path("data"), runs, AREAS, asked).items:
        assert triplet.anchor.image not in {sample.image for sample in triplet.positives}


def test_negatives_that_are_nowhere_are_an_error_that_says_how_far_they_would_be(drive: Any) -> None:
    areas = Areas.of([[-50, -50, 320, 50]], [[330, -50, 380, 50]], [[500, -50, 620, 50]])
    with pytest.raises(SceneGeoLocError, match=r"20 negatives.*beyond (\d+) m") as error:
        make_triplets(Path("data"), street(drive, Path("data")), areas, TripletSettings())
    reach = float(str(error.value).split("beyond ")[1].split(" m")[0])
    asked = TripletSettings(negative_distance_m=reach - 1, triplets=10000)
    made = make_triplets(Path("data"), street(drive, Path("data")), areas, asked)
    anchors = len(made) + made.info.left_out["anchors with fewer than 20 negatives"]
    assert 0.45 < len(made) / anchors < 0.6


def test_runs_that_never_meet_are_an_error_about_positives(drive: Any) -> None:
    runs = street(drive, Path("data"))
    back = {run: drive(STREET[::-1], Path("data"), run, views=("stereo/centre",)) for run in RUNS[1:]}
    front = {"anchors": {"stereo/centre": runs["anchors"]["stereo/centre"]}}
    with pytest.raises(SceneGeoLocError, match=r"no anchor has 4 positives.*same direction"):
        make_triplets(Path("data"), front | back, AREAS, TripletSettings())


def test_a_run_outside_the_training_area_is_named(drive: Any) -> None:
    runs = street(drive, Path("data")) | {"third": drive([(0, 900), (50, 900)], Path("data"), "third")}
    with pytest.raises(SceneGeoLocError, match="third: no place lies in the training area"):
        make_triplets(Path("data"), runs, AREAS, TripletSettings())


@pytest.fixture
def made(drive: Any, tmp_path: Path) -> Triplets:
    """Triplets whose images are there, and some of whose depth maps."""
    root = tmp_path / "data"
    runs = street(drive, root, step=4.0)
    depth = root / "depth" / "second" / "stereo/centre"
    depth.mkdir(parents=True)
    maps = []
    for files in runs["second"]["stereo/centre"].frame_files:
        png = f"{files.stamp_ns}.png"
        (depth / png).touch()
        maps.append(DepthMap(files.stamp_ns, "", files.T_map_camera, files.camera, png, 0.5).to_dict())
    (depth / "index.json").write_text(
        json.dumps({"version": FORMAT.version, "source": str(root), "maps": maps})
    )
    asked = TripletSettings(triplets=12, negative_distance_m=150, seed=5)
    made = attach_depth(make_triplets(root, runs, AREAS, asked), root / "depth")
    for image in made.images:
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        (root / image).touch()
    return made


def as_rows(triplets: Triplets) -> list[list]:
    return [
        [sample.run, sample.camera, sample.stamp_ns, sample.image, sample.depth]
        for triplet in triplets.items
        for sample in triplet.samples
    ]


def test_a_file_of_triplets_brings_back_what_was_saved(made: Triplets, tmp_path: Path) -> None:
    path = tmp_path / "work" / "triplets.parquet"
    made.save(path)
    loaded = Triplets.load(path)
    assert as_rows(loaded) == as_rows(made)
    assert loaded.root.resolve() == made.root
    assert loaded.info == made.info.model_copy(update={"root": "../data"})
    assert loaded.info.settings.seed == 5
    for before, after in zip(made.items, loaded.items, strict=True):
        for a, b in zip(before.samples, after.samples, strict=True):
            np.testing.assert_allclose(a.T_map_camera, b.T_map_camera, atol=1e-12)


def test_depth_maps_are_named_where_they_are(made: Triplets) -> None:
    images = made.images.values()
    assert {s.run + s.camera for s in images if s.depth is not None} == {"secondstereo/centre"}
    assert all((s.depth is not None) == (s.run == "second" and s.camera == "stereo/centre") for s in images)
    assert all((made.root / s.depth).is_file() for s in images if s.depth is not None)


@pytest.mark.slow
@given(
    poses=st.lists(
        st.tuples(
            *[st.floats(-1e6, 1e6)] * 3, *[st.floats(-1, 1)] * 3, st.integers(0, 2**62), st.text(min_size=1)
        ),
        min_size=2,
        max_size=8,
    )
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_poses_and_names_the_file_keeps_them(
    tmp_path_factory: pytest.TempPathFactory, poses: Any
) -> None:
    folder = tmp_path_factory.mktemp("triplets")
    (folder / "image.png").touch()
    samples = []
    for x, y, z, *turn, stamp, name in poses:
        T = make_pose(Rotation.from_rotvec(turn).as_matrix(), [x, y, z])
        samples.append(Sample(name, "mono_left", stamp, "image.png", T, None))
    asked = TripletSettings(positives=1, negatives=len(samples))
    info = TripletInfo(runs=["a"], triplets=2, settings=asked, areas=AREAS.to_json(), left_out={"nothing": 0})
    items = [Triplet(samples[0], samples[1:2], samples), Triplet(samples[1], samples[:1], samples[::-1])]
    Triplets(folder, info, items).save(folder / "t.parquet")
    loaded = Triplets.load(folder / "t.parquet")
    assert as_rows(loaded) == as_rows(Triplets(folder, info, items))
    for before, after in zip(items, loaded.items, strict=True):
        for a, b in zip(before.samples, after.samples, strict=True):
            np.testing.assert_allclose(a.T_map_camera, b.T_map_camera, rtol=1e-12, atol=1e-12)


def test_triplets_that_point_nowhere_are_counted(made: Triplets, tmp_path: Path) -> None:
    path = tmp_path / "triplets.parquet"
    made.save(path)
    images = list(made.images)
    for image in images[:3]:
        (made.root / image).unlink()
    with pytest.raises(SceneGeoLocError, match=rf"3 of {len(images)} images are missing below .*{images[0]}"):
        Triplets.load(path)
    for image in images[:3]:
        (made.root / image).touch()
    depth = next(sample.depth for sample in made.images.values() if sample.depth is not None)
    (made.root / depth).unlink()
    with pytest.raises(SceneGeoLocError, match=r"1 of \d+ depth maps are missing"):
        Triplets.load(path)


def test_a_dataset_that_has_moved_is_found_by_its_new_place(made: Triplets, tmp_path: Path) -> None:
    path = tmp_path / "work" / "triplets.parquet"
    made.save(path)
    moved = made.root.rename(tmp_path / "elsewhere")
    with pytest.raises(SceneGeoLocError, match="are missing below"):
        Triplets.load(path)
    assert len(Triplets.load(path, root=moved)) == len(made)


def rewrite(path: Path, rows: Any = lambda table: table, **info: Any) -> None:
    """Writes the file again with other rows or another description."""
    table = pq.read_table(path)
    told = json.loads(table.schema.metadata[b"scene_geo_loc"]) | info
    table = rows(table).replace_schema_metadata({b"scene_geo_loc": json.dumps(told)})
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(b"PAR1 no more"), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "cannot be read"),
        (
            lambda path: pq.write_table(pq.read_table(path).drop_columns(["image"]), path),
            "does not hold",
        ),
        (
            lambda path: pq.write_table(pq.read_table(path).replace_schema_metadata({}), path),
            "does not hold",
        ),
        (lambda path: rewrite(path, format_version=2), "version 2"),
        (lambda path: rewrite(path, triplets="many"), r"description is damaged \(triplets"),
        (lambda path: rewrite(path, triplets=13), "has 12 triplets instead of 13"),
        (lambda path: rewrite(path, lambda table: table.slice(1)), "0 anchors, 4 positives"),
        (
            lambda path: rewrite(
                path, lambda table: table.set_column(0, SCHEMA.field(0), pa.nulls(len(table), pa.int32()))
            ),
            "has no file, stamp or pose",
        ),
    ],
)
def test_a_damaged_file_is_one_sentence(made: Triplets, tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "triplets.parquet"
    made.save(path)
    change(path)
    with pytest.raises(SceneGeoLocError, match=words) as error:
        Triplets.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
