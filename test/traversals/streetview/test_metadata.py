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

"""Geo-tags of GPano, EXIF, Mapillary and KartaView."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panorama_sets import (
    FIRST_NS,
    LATITUDE,
    LONGITUDE,
    add_segments,
    coloured_panorama,
    gpano_xmp,
    gps_exif,
    write_image,
    write_photos,
)

from scene_geo_loc.geometry.equirectangular import R_enu_panorama
from scene_geo_loc.geometry.rotation import vector_of_matrix
from scene_geo_loc.traversals.opening import format_of, open_traversal
from scene_geo_loc.traversals.skipped import SkipReason
from scene_geo_loc.traversals.streetview.image_file import ImageHeader
from scene_geo_loc.traversals.streetview.metadata.exif import exif_tag
from scene_geo_loc.traversals.streetview.metadata.gpano import gpano_of
from scene_geo_loc.traversals.streetview.metadata.photos import read_photos
from scene_geo_loc.traversals.streetview.metadata.services import records_in


def test_panoramas_need_no_index_of_their_own(tmp_path: Path) -> None:
    write_photos(tmp_path)
    assert format_of(tmp_path) == "streetview"
    rows = {row.file: row for row in read_photos(tmp_path).rows}
    mapillary = rows["1002.jpg"]
    assert (mapillary.latitude, mapillary.longitude) == (LATITUDE + 1e-4, LONGITUDE)
    assert (mapillary.heading, mapillary.altitude) == (90.0, 35.5)
    assert mapillary.time == FIRST_NS + 10**9
    assert mapillary.links == ("1001.jpg",)
    assert rows["7.jpg"].heading == 270.0
    assert rows["7.jpg"].time == FIRST_NS + 10 * 10**9
    assert rows["tagged.jpg"].heading == 90.0
    assert rows["tagged.jpg"].longitude == pytest.approx(-2.295)
    traversal = open_traversal(tmp_path, views=1, view_camera="80x60@60")
    assert len(list(traversal.frames())) == 3
    assert traversal.skipped.counts == {f"rows of {tmp_path.name} more than 100 km from the others": 1}


def test_images_without_a_position_and_flat_images_are_counted(tmp_path: Path) -> None:
    write_photos(tmp_path)
    write_image(tmp_path / "untagged.jpg", coloured_panorama(64))
    images = json.loads((tmp_path / "images.json").read_text())
    images["data"][0]["camera_type"] = "perspective"
    (tmp_path / "images.json").write_text(json.dumps(images))
    index = read_photos(tmp_path)
    assert len(index.rows) == 3
    assert index.skipped.counts == {
        SkipReason.PANORAMA_WITHOUT_POSITION.value: 1,
        SkipReason.PANORAMA_NOT_SPHERICAL.value: 1,
    }


def test_photos_without_tags_are_no_panoramas(tmp_path: Path) -> None:
    write_image(tmp_path / "photo.jpg", coloured_panorama(64))
    add_segments(tmp_path / "photo.jpg", exif=gps_exif())
    (tmp_path / "notes.json").write_text('{"id": 1, "data": [3, null]}')
    with pytest.raises(Exception, match="not recognised"):
        format_of(tmp_path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_has_position_direction_and_time(order: str) -> None:
    tag = exif_tag(gps_exif(order))
    assert (tag.latitude, tag.longitude) == (pytest.approx(LATITUDE), pytest.approx(-LONGITUDE))
    assert (tag.altitude, tag.heading, tag.time) == (-35.0, 45.0, FIRST_NS)
    assert exif_tag(gps_exif(order, "M")).heading is None  # magnetic north is another


@given(st.binary(max_size=120), st.integers(0, 300), st.binary(max_size=8))
def test_damaged_exif_is_no_error(noise: bytes, cut: int, patch: bytes) -> None:
    exif = gps_exif()
    exif_tag(exif[:cut] + patch + exif[cut + len(patch) :])
    exif_tag(exif[:4] + noise)
    exif_tag(exif[: cut or 1])


def test_gpano_is_read_from_attributes_and_elements() -> None:
    attributes = gpano_xmp(PoseHeadingDegrees=12.5, PosePitchDegrees=-3, PoseRollDegrees="x")
    tags = gpano_of(ImageHeader((200, 100), attributes))
    assert (tags.heading, tags.pitch, tags.roll) == (12.5, -3.0, None)
    assert tags.is_equirectangular
    assert tags.is_complete
    assert tags.area is None
    element = gpano_xmp().replace(
        b"/></rdf:RDF>",
        b"><GPano:PoseHeadingDegrees>350</GPano:PoseHeadingDegrees></rdf:Description></rdf:RDF>",
    )
    assert gpano_of(ImageHeader((200, 100), element)).heading == 350.0


def test_entities_of_xml_are_not_expanded() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "1"><!ENTITY b "&a;&a;">]>'
    tags = gpano_of(ImageHeader((200, 100), bomb + gpano_xmp(PoseHeadingDegrees="&b;")))
    assert tags.heading is None


@pytest.mark.parametrize(
    "change",
    [
        {"CroppedAreaTopPixels": 300},
        {"CroppedAreaImageWidthPixels": 5000},
        {"FullPanoHeightPixels": 900},
        {"CroppedAreaLeftPixels": "left"},
        {"CroppedAreaImageHeightPixels": -256},
        {"FullPanoWidthPixels": "1e300"},
    ],
)
def test_an_impossible_area_is_no_area(change: dict[str, object]) -> None:
    area = {
        "FullPanoWidthPixels": 1024,
        "FullPanoHeightPixels": 512,
        "CroppedAreaLeftPixels": 0,
        "CroppedAreaTopPixels": 128,
        "CroppedAreaImageWidthPixels": 1024,
        "CroppedAreaImageHeightPixels": 256,
    }
    sound = gpano_of(ImageHeader((512, 128), gpano_xmp(**area)))
    assert sound.is_complete
    assert sound.area is not None
    assert not gpano_of(ImageHeader((512, 128), gpano_xmp(**{**area, **change}))).is_complete


@given(st.floats(0, 359), st.floats(-80, 80), st.floats(-170, 170))
def test_mapillarys_rotation_gives_heading_pitch_and_roll(heading: float, pitch: float, roll: float) -> None:
    R = R_enu_panorama(heading, pitch, roll)
    image = {
        "id": "1",
        "captured_at": FIRST_NS // 10**6,
        "computed_geometry": {"coordinates": [LONGITUDE, LATITUDE]},
        "computed_compass_angle": heading,
        "computed_rotation": vector_of_matrix(R.T).tolist(),
    }
    (record,) = records_in(image)
    found = R_enu_panorama(*(record.values[name] for name in ("heading", "pitch", "roll")))
    assert np.abs(found - R).max() < 1e-6
    # A rotation in another frame is noticed by the compass angle.
    (record,) = records_in({**image, "computed_compass_angle": (heading + 90) % 360})
    assert "pitch" not in record.values


def test_mapillary_tools_describe_images() -> None:
    image = {
        "filename": "/photos/a.b.jpg",
        "MAPLatitude": 1.5,
        "MAPLongitude": 2.5,
        "MAPCaptureTime": "2020_09_13_12_26_40_250",
        "MAPCompassHeading": {"TrueHeading": 30.0, "MagneticHeading": 29.0},
    }
    (record,) = records_in([image])
    assert record.names == ("a.b",)
    assert record.has_position
    assert record.values["heading"] == 30.0


@pytest.mark.parametrize(
    "content",
    [None, 3, "x", [], {}, {"id": 1}, {"lat": 1, "lng": 2}, {"data": {"data": []}}, {"features": [[[]]]}],
)
def test_other_json_has_no_records(content: object) -> None:
    assert list(records_in(content)) == []
