"""Threads of numerical libraries on a robot's computer, whose cores have other work to do."""

from __future__ import annotations

import os


def use_cores_sparingly() -> None:
    """Lets idle threads sleep, in libraries that are imported afterwards.

    By default OpenMP's threads spin while they wait, and OpenBLAS starts one per core for products too small
    to share.  On two busy cores a query took five times the CPU time and six times as long.  Variables that
    the user has set in the environment are kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
