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
