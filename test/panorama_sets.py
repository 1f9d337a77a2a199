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

"""Small sets of panoramas whose colours encode directions."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.traversals.streetview.index import IndexRow, write_index

LATITUDE, LONGITUDE, ALTITUDE = 48.8738, 2.295, 80.0
SPACING_M = 10.0
METRES_PER_DEGREE = 111_200.0
FIRST_NS = 1_600_000_000_000_000_000


def coloured_panorama(width: int = 512) -> NDArray[np.uint8]:
    """Returns a panorama (H, W, 3) whose colour at each pixel is 127.5 (1 + direction)."""
    v, u = np.mgrid[: width // 2, :width]
    rays = Equirectangular(width, width // 2).rays(np.stack([u, v], axis=-1))
    return np.round(127.5 * (1 + rays)).astype(np.uint8)


def direction_of(colour: NDArray) -> NDArray[np.float64]:
    """Inverse of the colours of `coloured_panorama`."""
    return np.asarray(colour, np.float64) / 127.5 - 1


def write_image(path: Path, image: NDArray) -> None:
    """Writes RGB, or a grey image of 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    assert cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 98] if path.suffix == ".jpg" else [])


def rows_along_a_street(count: int) -> list[IndexRow]:
    """Returns rows of panoramas every 10 m to the north, which look east."""
    return [
        IndexRow(
            f"images/{number}.png",
            LATITUDE + number * SPACING_M / METRES_PER_DEGREE,
            LONGITUDE,
            ALTITUDE,
            heading=90.0,
            time=FIRST_NS + number * 2_000_000_000,
            depth=f"depth/{number}.png",
        )
        for number in range(count)
    ]


def write_street(folder: Path, rows: Sequence[IndexRow] = ()) -> Path:
    """Writes a set, by default of three, with depth of 5 m everywhere but the sky, once as planes."""
    rows = list(rows) or [
        *rows_along_a_street(2),
        IndexRow("images/2.jpg", LATITUDE + 2e-4, LONGITUDE, heading=10.0, depth="depth/2.txt"),
    ]
    distance = np.full((32, 64), 500, np.uint16)
    distance[:8] = 0
    for row in rows:
        write_image(folder / row.file, coloured_panorama())
        if row.depth is not None and row.depth.endswith(".png"):
            write_image(folder / row.depth, distance)
        elif row.depth is not None:
            (folder / row.depth).parent.mkdir(parents=True, exist_ok=True)
            (folder / row.depth).write_text(planes_text(street_planes()[0], street_planes()[1]))
    write_index(folder / "panoramas.csv", rows)
    return folder


def street_planes(width: int = 64) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Returns indices (H, W) and planes (N, 4) of a street: ground 2.5 m below, a wall 6 m to the right."""
    v, u = np.mgrid[: width // 2, :width]
    rays = Equirectangular(width, width // 2).rays(np.stack([u, v], axis=-1))
    ground, wall = 2.5 / rays[..., 1], 6.0 / rays[..., 0]
    ground, wall = (np.where(distance > 0, distance, np.inf) for distance in (ground, wall))
    indices = np.where(np.minimum(ground, wall) > 60, 0, np.where(ground < wall, 1, 2)).astype(np.uint8)
    return indices, np.array([[0, 0, 0, 0], [0, 0, -1, 2.5], [1, 0, 0, 6.0]], np.float32)


def planes_text(indices: NDArray[np.uint8], planes: NDArray[np.float32], compress: bool = False) -> str:
    """Returns planes and indices as services code them."""
    height, width = indices.shape
    data = struct.pack("<BHHHB", 8, len(planes), width, height, 8)
    data += indices.tobytes() + planes.astype("<f4").tobytes()
    return base64.urlsafe_b64encode(zlib.compress(data) if compress else data).decode().rstrip("=")


def write_photos(folder: Path) -> Path:
    """Writes panoramas without an index: one with tags, two of Mapillary, one of KartaView."""
    for name in ("tagged", "1001", "1002", "7"):
        write_image(folder / f"{name}.jpg", coloured_panorama(256))
    add_segments(folder / "tagged.jpg", xmp=gpano_xmp(PoseHeadingDegrees=90), exif=gps_exif())
    images = [
        {
            "id": str(1001 + number),
            "geometry": {"type": "Point", "coordinates": [LONGITUDE + 0.01, LATITUDE]},
            "computed_geometry": {"type": "Point", "coordinates": [LONGITUDE, LATITUDE + number * 1e-4]},
            "compass_angle": 80.0,
            "computed_compass_angle": 90.0,
            "computed_altitude": 35.5,
            "camera_type": "spherical",
            "sequence": "abc",
            "captured_at": FIRST_NS // 1_000_000 + 1000 * number,
        }
        for number in (0, 1)
    ]
    (folder / "images.json").write_text(json.dumps({"data": images}))
    photo = {
        "id": "5",
        "lat": str(LATITUDE - 1e-4),
        "lng": str(LONGITUDE),
        "heading": "270.0",
        "shot_date": "2020-09-13 12:26:50",
        "sequence_index": "7",
        "projection": "SPHERE",
    }
    (folder / "kartaview.json").write_text(json.dumps({"osv": {"photos": [photo]}}))
    return folder


def gpano_xmp(**tags: object) -> bytes:
    """Returns an XMP packet with GPano tags as attributes."""
    attributes = " ".join(f'GPano:{name}="{value}"' for name, value in tags.items())
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
        f'GPano:ProjectionType="equirectangular" {attributes}/></rdf:RDF></x:xmpmeta>'
    ).encode()


def gps_exif(order: str = "<", direction: str = "T") -> bytes:
    """Returns EXIF with 48° 52' 25.68" N, 2° 17' 42" W, 35 m below the sea, direction 45° and a time."""
    values = {
        1: (2, 2, b"N\0"),
        2: (5, 3, (48, 1, 52, 1, 2568, 100)),
        3: (2, 2, b"W\0"),
        4: (5, 3, (2, 1, 17, 1, 42, 1)),
        5: (1, 1, b"\1"),
        6: (5, 1, (70, 2)),
        7: (5, 3, (12, 1, 26, 1, 40, 1)),
        16: (2, 2, direction.encode() + b"\0"),
        17: (5, 1, (450, 10)),
        29: (2, 11, b"2020:09:13\0"),
    }
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    main = struct.pack(order + "HHHIII", 1, 0x8825, 4, 1, 26, 0)
    after = 26 + 2 + 12 * len(values) + 4
    entries, data = struct.pack(order + "H", len(values)), b""
    for tag, (kind, length, value) in values.items():
        content = value if isinstance(value, bytes) else struct.pack(f"{order}{len(value)}I", *value)
        entries += struct.pack(order + "HHI", tag, kind, length)
        if len(content) <= 4:
            entries += content.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", after + len(data))
            data += content
    return head + main + entries + struct.pack(order + "I", 0) + data


def add_segments(path: Path, xmp: bytes | None = None, exif: bytes | None = None) -> None:
    """Adds XMP and EXIF to a JPEG."""
    segments = []
    if exif is not None:
        segments.append(b"Exif\0\0" + exif)
    if xmp is not None:
        segments.append(b"http://ns.adobe.com/xap/1.0/\0" + xmp)
    content = path.read_bytes()
    coded = b"".join(b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment for segment in segments)
    path.write_bytes(content[:2] + coded + content[2:])
