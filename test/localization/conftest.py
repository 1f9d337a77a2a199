"""The solvers of robust PnP, for tests that each of them must pass."""

from __future__ import annotations

import pytest

from scene_geo_loc.localization.solvers.base import PnpSolver
from scene_geo_loc.localization.solvers.opencv_solver import OpenCvSolver


@pytest.fixture(scope="session", params=["poselib", "opencv"])
def solver(request: pytest.FixtureRequest) -> PnpSolver:
    if request.param == "opencv":
        return OpenCvSolver()
    pytest.importorskip("poselib", reason="PoseLib is not installed")
    from scene_geo_loc.localization.solvers.poselib_solver import PoseLibSolver

    return PoseLibSolver()
