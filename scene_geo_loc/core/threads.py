"""How numerical libraries share the cores of a robot's computer with everything else on it."""

from __future__ import annotations

import os


def use_cores_sparingly() -> None:
    """Keeps idle threads asleep, for what is imported from here on.

    By default OpenMP's threads spin while they wait, and OpenBLAS starts as many as there are cores for
    products too small to share.  On two busy cores that took five times the CPU time and six times the
    time a query.  What the user has set in the environment stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
