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

"""Satellite positions of a traversal, and the datum of its map by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import GeodesyError
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.trajectory import Trajectory


@dataclass(frozen=True)
class SatelliteFixes:
    """Positions that a satellite receiver measured along a traversal.

    Attributes:
        source: topic or file.
        stamps_ns: (N,), in order of time.
        geodetic: (N, 3) latitude and longitude in degrees, height in metres.
        sigmas_m: (N, 2) stated standard deviations, horizontal and vertical; NaN where unknown.
        T_camera_antenna: pose of the antenna in the camera's optical frame.
    """

    source: str
    stamps_ns: NDArray[np.int64]
    geodetic: NDArray[np.float64]
    sigmas_m: NDArray[np.float64]
    T_camera_antenna: Pose

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def georeference(
        self, T_map_antenna: NDArray[np.float64], known: NDArray[np.bool_] | None = None
    ) -> Georeference:
        """Returns the datum of a map by the antenna's poses (N, 4, 4) in it, of which a mask (N,) is known.

        Raises GeodesyError, see `fit_datum`.
        """
        # Fits import pyproj, which most users of a traversal do not need.
        from scene_geo_loc.geometry.datum_fit import fit_datum

        usable = np.isfinite(self.geodetic).all(axis=1)
        if known is not None:
            usable = usable & known
        datum, fit = fit_datum(T_map_antenna[usable, :3, 3], self.geodetic[usable], self.sigmas_m[usable])
        return Georeference(datum, self.source, fit)

    def georeference_along(self, T_map_camera: Trajectory) -> Georeference:
        """Returns the datum of a map by the camera's poses in it. Raises GeodesyError, see `fit_datum`."""
        poses, known = T_map_camera.at_many(self.stamps_ns)
        return self.georeference(poses @ self.T_camera_antenna, known)


@runtime_checkable
class HasGeoreference(Protocol):
    """A traversal that knows where on the Earth its map is."""

    @property
    def georeference(self) -> Georeference | None:
        """Datum of the map, None where it is unknown."""
        ...


@runtime_checkable
class HasFixes(Protocol):
    """A traversal with satellite positions."""

    @property
    def fixes(self) -> SatelliteFixes | None:
        """The positions, None where there are none."""
        ...


def georeference_of(traversal: object) -> Georeference | None:
    """Returns where on the Earth a traversal's map is; None where that is unknown."""
    return traversal.georeference if isinstance(traversal, HasGeoreference) else None


def fixes_of(traversal: object) -> SatelliteFixes:
    """Returns the satellite positions of a traversal. Raises GeodesyError where there are none."""
    fixes = traversal.fixes if isinstance(traversal, HasFixes) else None
    if fixes is None or not len(fixes):
        name = getattr(traversal, "name", "the source")
        raise GeodesyError(f"{name} has no satellite positions, such as sensor_msgs/NavSatFix with a fix.")
    return fixes
