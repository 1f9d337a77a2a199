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

"""A short piece of one town, built once for all tests of the room."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from town import LENGTH_M, SEED, SIGHT_M, START_M

if TYPE_CHECKING:
    from scene_geo_loc.geometry.pose import Pose
    from scene_geo_loc.simulation.rendering.render import Scene
    from scene_geo_loc.simulation.town.city import City
    from scene_geo_loc.simulation.vehicle.motion import Motion

# The ray caster is an extra of the package.
collect_ignore_glob = [] if find_spec("embreex") else ["test_*.py"]


@pytest.fixture(scope="session")
def city() -> City:
    from scene_geo_loc.simulation.town.city import City

    return City(SEED)


@pytest.fixture(scope="session")
def overcast(city: City) -> Scene:
    from scene_geo_loc.simulation.conditions import CONDITIONS

    return city.scene(CONDITIONS["overcast"], START_M, LENGTH_M, sight=SIGHT_M)


@pytest.fixture(scope="session")
def motion(city: City) -> Motion:
    from scene_geo_loc.simulation.vehicle.motion import Motion

    return Motion(city.plan, START_M, LENGTH_M, 8.0, seed=1)


@pytest.fixture(scope="session")
def T_map_camera(motion: Motion) -> Pose:
    from scene_geo_loc.simulation.vehicle.sensors import MountedCamera

    return np.asarray(motion.poses(1.0)[0] @ MountedCamera().T_base_camera)
