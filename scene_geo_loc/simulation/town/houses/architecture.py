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

"""Architecture of a house: its dimensions, which never change, and its finish, which may."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scene_geo_loc.simulation.materials.canvas import Colour
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.town.plan import Plot

_PAINTS: dict[str, tuple[Colour, ...]] = {
    "plaster": (
        (226, 214, 186), (222, 186, 122), (204, 150, 112), (190, 202, 178), (176, 194, 208), (232, 228, 218),
        (214, 160, 150), (168, 116, 92), (236, 208, 150), (150, 168, 150), (198, 188, 204), (120, 140, 160),
    ),
    "brick": (
        (158, 84, 62), (136, 68, 54), (178, 112, 78), (196, 168, 120), (110, 76, 66),
        (186, 176, 158), (92, 84, 82),
    ),
    "ashlar": ((198, 190, 172), (178, 170, 156), (206, 190, 150), (160, 156, 150)),
    "panels": (
        (176, 178, 178), (140, 146, 150), (206, 204, 198), (110, 120, 132), (184, 164, 140), (150, 90, 74),
    ),
    "boards": ((140, 100, 66), (96, 116, 128), (176, 60, 48), (206, 200, 186), (90, 104, 84)),
    "timber": ((230, 222, 200), (222, 200, 150), (206, 176, 160)),
}  # fmt: skip
_WALLS_OF = {
    "old town": ("plaster", "plaster", "timber", "ashlar", "brick"),
    "brick": ("brick", "brick", "brick", "plaster"),
    "villas": ("plaster", "boards", "brick", "plaster"),
    "modern": ("panels", "panels", "brick", "plaster"),
    "market": ("plaster", "ashlar", "brick", "timber"),
}
_ROOFS_OF = {
    "old town": ("eaves", "gable", "gable", "stepped"),
    "brick": ("eaves", "eaves", "flat", "gable"),
    "villas": ("eaves", "gable", "mansard"),
    "modern": ("flat", "flat", "flat", "eaves"),
    "market": ("eaves", "stepped", "mansard", "flat"),
}
_TRIMS: tuple[Colour, ...] = (
    (236, 232, 222),
    (210, 200, 180),
    (90, 84, 80),
    (60, 70, 66),
    (150, 70, 50),
    (180, 176, 168),
)
_DOORS: tuple[Colour, ...] = (
    (38, 70, 52),
    (110, 32, 28),
    (34, 48, 84),
    (60, 44, 34),
    (150, 120, 70),
    (30, 30, 32),
    (190, 150, 40),
)
_SHOP_PAINTS: tuple[Colour, ...] = (
    (30, 64, 50), (120, 26, 30), (24, 40, 82), (212, 164, 36), (28, 28, 30), (226, 222, 212), (196, 84, 30),
    (70, 120, 130), (96, 50, 96), (176, 196, 60),
)  # fmt: skip
SHOP_NAMES = (
    "BAKERY", "CAFE", "BOOKS", "PHARMACY", "FLOWERS", "HOTEL", "BARBER", "TAILOR", "OPTICS", "MARKET",
    "BANK", "PIZZA", "NOODLES", "RADIO", "BIKES", "MUSIC", "PAPER", "WINE", "TEA HOUSE", "SHOES", "TOYS",
    "CAMERAS", "LAUNDRY", "KIOSK", "DELI", "GALLERY", "PRINT", "CINEMA", "FISH", "THEATRE", "BAR", "CLOCKS",
    "GARDEN", "KEYS", "SALON", "TRAVEL",
)  # fmt: skip


@dataclass(frozen=True)
class Opening:
    """An opening in a front, in metres from its left end and above the ground."""

    x0: float
    x1: float
    z0: float
    z1: float
    kind: str
    floor: int


@dataclass(frozen=True)
class House:
    """Dimensions of a house.

    Attributes:
        floors: heights of the floors above the ground, the eaves last, in metres.
        openings: windows, doors and shop windows of the front, floor by floor from the left.
        rhythm: style of the windows: lintel, mullions, shutters.
    """

    plot: Plot
    depth: float
    floors: tuple[float, ...]
    roof: str
    roof_pitch: float
    wall: str
    wall_below: str
    openings: tuple[Opening, ...]
    has_shop: bool
    sills: bool
    cornice: float
    string_course: bool
    lintel: str
    mullions: tuple[int, int]
    shutters: bool
    surround: float
    balconies: tuple[int, ...]
    bay: int | None
    reveal: float
    chimneys: int
    dormers: int

    @property
    def height(self) -> float:
        """Height of the eaves in metres."""
        return self.floors[-1]


@dataclass(frozen=True)
class Finish:
    """Paint, lettering and dirt, which change with the seasons and the owners."""

    wall: Colour
    wall_below: Colour
    trim: Colour
    frame: Colour
    door: Colour
    roof: Colour
    shutter: Colour
    shop: Colour
    shop_text: Colour
    shop_name: str
    awning: Colour | None
    hanging_sign: bool
    blind: float
    details: int


def design_house(seed: int, plot: Plot) -> House:
    """Returns the house on a plot, the same in every condition."""
    rng = stream(seed, "house", plot.index)
    district = plot.district
    storeys = int(
        rng.integers(
            *{"old town": (2, 5), "brick": (2, 5), "villas": (2, 4), "modern": (3, 7), "market": (3, 6)}[
                district
            ]
        )
    )
    ground = rng.uniform(3.3, 4.3)
    upper = rng.uniform(2.75, 3.5)
    floors = [0.0, *(ground + upper * np.arange(storeys - 1)), ground + upper * (storeys - 1)]
    if storeys == 1:
        floors = [0.0, ground]
    wall = str(rng.choice(_WALLS_OF[district]))
    roof = str(rng.choice(_ROOFS_OF[district]))
    if plot.width > 13 and roof in ("gable", "stepped"):
        roof = "eaves"
    has_shop = bool(rng.random() < {"villas": 0.12, "modern": 0.5, "brick": 0.45}.get(district, 0.75))
    openings = _compose(rng, plot.width, tuple(floors), has_shop, district)
    upper_windows = [o for o in openings if o.floor > 0]
    columns = sum(o.floor == 1 for o in upper_windows)
    balconies: tuple[int, ...] = ()
    if rng.random() < 0.35 and columns:
        picked = rng.permutation(columns)[: int(rng.integers(1, min(columns, 3) + 1))]
        balconies = tuple(
            i
            for i, o in enumerate(openings)
            if o.floor > 0 and _column(openings, i) in picked and (o.floor + i) % 4
        )
    bay = None
    if not balconies and columns >= 2 and storeys >= 3 and rng.random() < 0.3:
        bay = int(rng.integers(0, columns))
    return House(
        plot=plot,
        depth=float(rng.uniform(9, 13)),
        floors=tuple(float(f) for f in floors),
        roof=roof,
        roof_pitch=float(np.radians(rng.uniform(28, 52))),
        wall=wall,
        wall_below=str(rng.choice([wall, wall, "ashlar", "plaster", "brick"])),
        openings=openings,
        has_shop=has_shop,
        sills=bool(rng.random() < 0.75),
        cornice=float(rng.choice([0.12, 0.25, 0.4, 0.55])),
        string_course=bool(rng.random() < 0.6),
        lintel=str(rng.choice(["flat", "arch", "keystone", "pediment", "none"])),
        mullions=[(2, 2), (1, 1), (2, 3), (3, 2), (2, 1), (1, 2), (2, 4)][int(rng.integers(7))],
        shutters=bool(rng.random() < (0.35 if district in ("old town", "villas", "market") else 0.05)),
        surround=float(rng.choice([0.0, 0.1, 0.16, 0.22])),
        balconies=balconies,
        bay=bay,
        reveal=float(rng.uniform(0.1, 0.28)),
        chimneys=int(rng.integers(0, 3)),
        dormers=int(rng.integers(0, 4)) if roof in ("eaves", "mansard") else 0,
    )


def finish_house(seed: int, house: House, epoch: int, drive: str) -> Finish:
    """Returns the finish of a house.

    Args:
        epoch: 0, or 1 for seven months later, when a third are repainted and half of the shops replaced.
        drive: name of the drive; curtains and blinds differ between drives.
    """
    index = house.plot.index
    change = stream(seed, "change", index).random(2)
    paint = stream(seed, "paint", index, epoch if change[0] < 0.35 else 0)
    shop = stream(seed, "shop", index, epoch if change[1] < 0.5 else 0)
    wall = _jitter(paint, _pick(paint, _PAINTS[house.wall]))
    below = (
        wall if house.wall_below == house.wall else _jitter(paint, _pick(paint, _PAINTS[house.wall_below]))
    )
    roofs: tuple[Colour, ...] = ((150, 78, 56), (122, 62, 48), (88, 88, 94), (70, 66, 66), (136, 96, 70))
    shop_paint = _pick(shop, _SHOP_PAINTS)
    return Finish(
        wall=wall,
        wall_below=below,
        trim=_pick(paint, _TRIMS),
        frame=_pick(
            paint, ((238, 236, 230), (238, 236, 230), (70, 60, 54), (48, 62, 58), (40, 42, 46), (130, 90, 60))
        ),
        door=_pick(paint, _DOORS),
        roof=_jitter(stream(seed, "roof", index), _pick(stream(seed, "roof", index), roofs)),
        shutter=_pick(paint, _DOORS),
        shop=shop_paint,
        shop_text=(240, 236, 222) if sum(shop_paint) < 380 else (36, 30, 30),
        shop_name=SHOP_NAMES[int(shop.integers(len(SHOP_NAMES)))],
        awning=_pick(shop, _SHOP_PAINTS) if shop.random() < 0.4 else None,
        hanging_sign=bool(shop.random() < 0.55),
        blind=float(stream(seed, "blind", index, drive).random()),
        details=int(shop.integers(1 << 30)),
    )


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


def _jitter(rng: np.random.Generator, colour: Colour) -> Colour:
    r, g, b = np.clip(np.array(colour) * rng.uniform(0.86, 1.08) + rng.uniform(-8, 8, 3), 20, 245)
    return float(r), float(g), float(b)


def _column(openings: tuple[Opening, ...], index: int) -> int:
    floor = openings[index].floor
    return index - next(i for i, o in enumerate(openings) if o.floor == floor)


def _compose(
    rng: np.random.Generator, width: float, floors: tuple[float, ...], has_shop: bool, district: str
) -> tuple[Opening, ...]:
    """Returns the openings by floor: a door with shop windows or rooms below, a row of windows above."""
    openings = []
    ground_top = floors[1]
    door_width = rng.uniform(1.0, 1.5)
    door_at = rng.choice([0.55, width / 2 - door_width / 2, width - door_width - 0.55])
    top = min(ground_top - 0.75, rng.uniform(2.5, 3.1))
    spans = [(0.4, door_at - 0.35), (door_at + door_width + 0.35, width - 0.4)]
    door = Opening(door_at, door_at + door_width, 0.14, top, "door", 0)
    row = [door]
    for low, high in spans:
        room = high - low
        if room < 1.1:
            continue
        if has_shop:
            count = max(1, round(room / rng.uniform(2.4, 4.5)))
            foot, kind, gap = rng.uniform(0.25, 0.75), "shop", 0.28
        elif room > 3.2 and rng.random() < 0.22:
            count, foot, kind, gap = 1, 0.1, "garage", 0.4
            high = low + min(room, rng.uniform(2.5, 3.2))
            room = high - low
        else:
            count = max(1, round(room / rng.uniform(1.8, 2.6)))
            foot, kind, gap = rng.uniform(0.9, 1.25), "window", rng.uniform(0.6, 1.1)
        pitch = room / count
        half = (pitch - gap) / 2 if kind != "window" else min((pitch - gap) / 2, 0.75)
        for i in range(count):
            middle = low + (i + 0.5) * pitch
            if half > 0.25:
                row.append(Opening(middle - half, middle + half, foot, max(top, foot + 1.1), kind, 0))
    openings += sorted(row, key=lambda o: o.x0)
    pitch = rng.uniform(2.0, 3.3) * (1.15 if district == "modern" else 1.0)
    count = max(1, int((width - 0.6) / pitch))
    pitch = (width - 0.6) / count
    share = rng.uniform(0.36, 0.58) if district != "modern" else rng.uniform(0.5, 0.86)
    is_french = rng.random() < 0.2
    for floor in range(1, len(floors) - 1):
        low, high = floors[floor], floors[floor + 1]
        foot = low + (
            0.25
            if is_french
            else rng.uniform(0.75, 1.0)
            if floor == 1
            else openings[-1].z0 - floors[floor - 1]
        )
        head = high - (0.45 if floor < len(floors) - 2 else 0.6)
        half = pitch * share / 2 * (0.85 if floor == len(floors) - 2 and district == "old town" else 1.0)
        for i in range(count):
            middle = 0.3 + (i + 0.5) * pitch
            openings.append(Opening(middle - half, middle + half, foot, head, "window", floor))
    return tuple(openings)
