"""Whether stated covariances are as large as the errors: how often the truth lies inside.

Protocol: over the poses that are given with a covariance and whose truth is known.  A 95 % ellipsoid holds
the truth in 95 % of the cases where errors are Gaussian and the covariance is right; less means too sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.metrics.pose_error import QueryRecord

LEVEL = 0.95


@dataclass(frozen=True)
class Coverage:
    """Shares of the true values that lie inside the `LEVEL` ellipsoids.

    Attributes:
        poses: how many they are shares of.
        position, rotation: of the three numbers each.
        pose: of all six together.
    """

    poses: int
    position: float
    rotation: float
    pose: float

    def to_dict(self) -> dict[str, float]:
        """The record that is written as JSON."""
        shares = {"position": self.position, "rotation": self.rotation, "pose": self.pose}
        return {name: round(share, 4) for name, share in shares.items()}


def coverage_of(records: Sequence[QueryRecord]) -> Coverage | None:
    """How often the truth lies inside the stated ellipsoids; None where no covariance is stated."""
    inside = []
    for record in records:
        if not record.is_localized or record.T_true is None or record.covariance is None:
            continue
        assert record.T_estimated is not None
        error = difference(record.T_estimated, record.T_true)
        inside.append(
            [
                error[part] @ np.linalg.solve(record.covariance[part, part], error[part])
                <= chi2.ppf(LEVEL, part.stop - part.start)
                for part in (slice(0, 3), slice(3, 6), slice(0, 6))
            ]
        )
    if not inside:
        return None
    position, rotation, pose = np.mean(inside, axis=0)
    return Coverage(len(inside), float(position), float(rotation), float(pose))
