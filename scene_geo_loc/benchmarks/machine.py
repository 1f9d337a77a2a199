"""The machine that a benchmark ran on, as text beside its numbers."""

from __future__ import annotations

import platform
from pathlib import Path

from scene_geo_loc.core.parallel import available_cores


def describe_machine() -> str:
    """Returns the processor's model and the number of cores that this process may use."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{model}, {available_cores()} cores"
