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

"""Areas: the disjoint parts of a city for training, validation and test.

The authors trained, validated and tested in disjoint parts of Oxford: about the loop of St Giles, Banbury
Road and Walton Street; the streets between Worcester College and the castle; and Parks Road, Keble Road,
South Parks Road, Mansfield Road, Holywell Street and Broad Street.  The thesis of the first author shows them
on a map without coordinates.  The built-in boxes are this project's choice along these streets, read off that
map to about 30 m (the centres of the test regions that PointNetVLAD published, Uy and Lee, CVPR 2018, are
that close to its streets), with gaps where the streets meet.  An areas.json beside the runs replaces them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from scipy.sparse.csgraph import connected_components

from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.core.regular_file import regular

AREAS_FILE = "areas.json"
"""File in a dataset with areas of its own: lists of boxes named "train", "validation" and "test"."""

_Box = Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore")

    train: Annotated[list[_Box], Field(min_length=1)]
    validation: Annotated[list[_Box], Field(min_length=1)]
    test: Annotated[list[_Box], Field(min_length=1)]


@dataclass(frozen=True, eq=False)
class Area:
    """A part of the map, the union of boxes.

    Attributes:
        boxes: (N, 4) metres in the map, x_min, y_min, x_max, y_max, with x east and y north.
    """

    boxes: NDArray[np.float64]

    def region_of(self, xy: ArrayLike) -> NDArray[np.intp]:
        """Returns the number of the region of each position (..., 2) in metres, -1 outside all regions.

        Boxes that touch or overlap form one region, such as those along one street.
        """
        positions = np.asarray(xy, np.float64)[..., None, :]
        inside = ((positions >= self.boxes[:, :2]) & (positions < self.boxes[:, 2:])).all(axis=-1)
        return np.where(inside.any(axis=-1), self._regions[inside.argmax(axis=-1)], -1)

    def contains(self, xy: ArrayLike) -> NDArray[np.bool_]:
        """Returns whether positions (..., 2) in metres lie in one of the boxes."""
        return self.region_of(xy) >= 0

    @cached_property
    def _regions(self) -> NDArray[np.intp]:
        """Number (N,) of the region of each box."""
        lowest, highest = self.boxes[:, :2], self.boxes[:, 2:]
        touching = (lowest[:, None] <= highest[None]) & (highest[:, None] >= lowest[None])
        return connected_components(touching.all(axis=-1))[1]


@dataclass(frozen=True)
class Areas:
    """Three disjoint areas."""

    train: Area
    validation: Area
    test: Area

    @classmethod
    def load(cls, root: Path) -> Areas:
        """Returns the areas of a dataset: those of its areas.json, else the built-in ones for RobotCar.

        Raises:
            SceneGeoLocError: areas.json is damaged, or its areas overlap.
        """
        path = root / AREAS_FILE
        try:
            text = regular(path).read_text()
        except FileNotFoundError:
            return ROBOTCAR_AREAS
        except (OSError, UnicodeDecodeError) as error:
            raise SceneGeoLocError(f"{path} cannot be read ({reason_of(error)}).") from error
        try:
            boxes = _File.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SceneGeoLocError(
                f'{path}: expected boxes in metres, {{"train": [[x_min, y_min, x_max, y_max], ...], '
                f'"validation": [...], "test": [...]}} ({where}: {first["msg"]}).'
            ) from error
        try:
            return cls.of(**boxes.model_dump())
        except ValueError as error:
            raise SceneGeoLocError(f"{path}: {error}.") from error

    @classmethod
    def of(cls, train: Sequence[Any], validation: Sequence[Any], test: Sequence[Any]) -> Areas:
        """Returns the areas of boxes (x_min, y_min, x_max, y_max).

        Raises ValueError if a box is empty or two areas overlap.
        """
        parts = {"train": train, "validation": validation, "test": test}
        boxes = {name: np.array(part, np.float64).reshape(-1, 4) for name, part in parts.items()}
        every = np.concatenate(list(boxes.values()))
        names = [name for name, part in boxes.items() for _ in part]
        for i, box in enumerate(every):
            if not (box[:2] < box[2:]).all():
                raise ValueError(f"the {names[i]} box {box.tolist()} is empty")
            for j in range(i):
                overlap = np.maximum(box[:2], every[j, :2]) < np.minimum(box[2:], every[j, 2:])
                if names[i] != names[j] and overlap.all():
                    other = f"the {names[j]} box {every[j].tolist()}"
                    raise ValueError(f"{other} and the {names[i]} box {box.tolist()} overlap")
        return cls(*(Area(part) for part in boxes.values()))

    def to_json(self) -> dict[str, list[list[float]]]:
        """Returns the boxes in the form of areas.json."""
        return {name: getattr(self, name).boxes.tolist() for name in ("train", "validation", "test")}


ROBOTCAR_AREAS = Areas.of(
    # Walton Street with Wellington Square; St Giles with Banbury Road.
    train=[[-450, 160, -45, 1130], [15, 230, 112, 1130]],
    # Worcester Street to the castle and the railway station.
    validation=[[-460, -320, 120, 130]],
    # Parks Road and Keble Road; their southern half with South Parks Road, Holywell Street, Broad Street.
    test=[[120, 600, 760, 900], [220, 90, 760, 600]],
)
"""Areas of the real RobotCar in the map frame of its reader: easting - 620000, northing - 5735000."""
