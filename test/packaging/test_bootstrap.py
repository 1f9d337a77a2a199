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

"""The set-up names missing requirements, repeats no finished step, and detects incomplete files."""

from __future__ import annotations

import ast
import importlib.util
import platform
import signal
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bootstrap.py"

INSTALLS = 'echo "Installing collected packages: numpy, scene_geo_loc"'
IS_INTERRUPTED_WHILE_INSTALLING = f"{INSTALLS}; sleep 0.5; kill -INT $PPID"
IS_INTERRUPTED_WHILE_DOWNLOADING = 'echo "Collecting numpy"; sleep 0.5; kill -INT $PPID'
HAS_NO_NETWORK = """
echo "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/numpy/"
echo "ERROR: Could not find a version that satisfies the requirement numpy"
exit 1
"""
HAS_NO_SPACE = 'echo "ERROR: Could not install packages: No space left on device"; exit 1'


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, on an x86-64 machine without a sourced ROS 2."""
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FakeMachine:
    """A machine where nothing is missing, and whose environments hold a shell script in place of Python."""

    def __init__(self, bootstrap: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bootstrap = bootstrap
        self.venv = folder / "venv"
        self.pip = folder / "pip.sh"
        self.calls = folder / "calls"
        self.installs = folder / "installs"
        self.created = 0
        self.calls.touch()
        monkeypatch.setattr(bootstrap, "check_system", lambda: None)
        monkeypatch.setattr(bootstrap, "create", self.create)

    def create(self, venv: Path) -> None:
        self.created += 1
        (venv / "lib" / "python{}.{}".format(*sys.version_info)).mkdir(parents=True, exist_ok=True)
        (venv / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
        python = venv / "bin" / "python"
        python.parent.mkdir(exist_ok=True)
        run_pip = f'echo "$@" >> {self.installs}; . {self.pip}'
        python.write_text(f'#!/bin/sh\necho >> {self.calls}\nif [ "$2" = pip ]; then {run_pip}; fi\n')
        python.chmod(0o755)

    def set_up(self, pip: str = INSTALLS, tier: str = "full") -> int:
        """Runs the set-up with a pip that behaves so; returns how often it ran the fake Python."""
        self.pip.write_text(pip)
        before = len(self.calls.read_text())
        self.bootstrap.set_up(self.venv, tier)
        return len(self.calls.read_text()) - before


@pytest.fixture
def machine(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMachine]:
    # Started in the background of a script, the tests would ignore SIGINT, and so would what they run.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield FakeMachine(bootstrap, tmp_path, monkeypatch)
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("version", [(3, 9), (3, 15)])
def test_another_python_is_refused_with_the_way_to_name_one(
    bootstrap: ModuleType, version: tuple[int, int]
) -> None:
    with pytest.raises(bootstrap.SetupError, match=r"one of 3\.10 to 3\.14 .*make PYTHON=python3\.12"):
        bootstrap.check_python(version)


def test_a_python_that_is_too_old_can_read_the_script() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_the_oldest_and_the_newest_python_are_accepted(
    bootstrap: ModuleType, version: tuple[int, int]
) -> None:
    bootstrap.check_python(version)


def test_a_missing_compiler_names_build_essential(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: headers_in(tmp_path))
    with pytest.raises(
        bootstrap.SetupError, match=r"lacks a C and C\+\+ compiler: .* install build-essential`$"
    ):
        bootstrap.check_system()


def test_missing_headers_name_the_dev_package_of_this_python(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", compilers_in(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "nowhere"))
    package = "python{}.{}-dev".format(*sys.version_info)
    with pytest.raises(bootstrap.SetupError, match=rf"lacks Python's C headers: .* install {package}`$"):
        bootstrap.check_system()


def test_all_that_is_missing_is_named_in_one_sentence(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(bootstrap.SetupError, match=r"-venv build-essential python3\.\d+-dev`$"):
        bootstrap.check_system()


def test_a_machine_without_wheels_is_told_to_install_ros(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(bootstrap.SetupError, match=r"this machine is aarch64: install ROS 2"):
        bootstrap.check_system()


def test_with_ros_sourced_no_compiler_is_needed(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setenv("PATH", str(tmp_path))
    bootstrap.check_system()


@pytest.mark.parametrize(
    ("missing", "advice"),
    [
        (["tf2_msgs", "nav_msgs"], r"sudo apt install ros-jazzy-tf2-msgs ros-jazzy-nav-msgs`$"),
        (["rclpy", "tf2_msgs"], r"cannot import its rclpy: use the Python it was built for"),
    ],
)
def test_a_sourced_ros_that_lacks_something_says_what_to_do(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, missing: list[str], advice: str
) -> None:
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setattr(bootstrap, "missing_modules", lambda python, modules: missing)
    with pytest.raises(bootstrap.SetupError, match=advice):
        bootstrap.check_ros()


def test_a_sourced_ros_keeps_the_numpy_that_it_is_built_for(bootstrap: ModuleType) -> None:
    assert bootstrap.requirements_of_ros() == [f"numpy=={version('numpy')}"]


def test_modules_that_cannot_be_imported_are_found(bootstrap: ModuleType) -> None:
    assert bootstrap.missing_modules(sys.executable, ("json", "no_such_module")) == ["no_such_module"]


def test_every_input_of_the_set_up_exists(bootstrap: ModuleType) -> None:
    assert all((bootstrap.CHECKOUT / name).is_file() for name in bootstrap.INPUTS)


def test_the_second_start_does_nothing(machine: FakeMachine) -> None:
    assert machine.set_up() > 0
    assert machine.set_up() == 0
    assert machine.created == 1


def test_the_light_tier_is_completed_in_the_same_environment(machine: FakeMachine) -> None:
    assert machine.set_up(tier="light") > 0
    assert machine.set_up(tier="light") == 0
    assert machine.set_up(tier="full") > 0
    light, full = machine.installs.read_text().splitlines()
    assert "dev" not in light
    assert "dev" in full
    assert machine.created == 1


def test_a_full_environment_serves_the_light_tier_and_stays_full(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.set_up(tier="full")
    assert machine.set_up(tier="light") == 0
    monkeypatch.setattr(machine.bootstrap, "INPUTS", ("package.xml",))
    assert machine.set_up(tier="light") > 0
    assert "dev" in machine.installs.read_text().splitlines()[-1]
    assert machine.set_up(tier="full") == 0


def test_changed_inputs_complete_the_same_environment(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.set_up()
    monkeypatch.setattr(machine.bootstrap, "INPUTS", ("package.xml",))
    assert machine.set_up() > 0
    assert machine.created == 1


def test_an_interruption_while_installing_starts_from_an_empty_environment(machine: FakeMachine) -> None:
    with pytest.raises(KeyboardInterrupt):
        machine.set_up(IS_INTERRUPTED_WHILE_INSTALLING)
    assert machine.set_up() > 0
    assert machine.created == 2


def test_an_interruption_while_downloading_goes_on_in_the_same_environment(machine: FakeMachine) -> None:
    with pytest.raises(KeyboardInterrupt):
        machine.set_up(IS_INTERRUPTED_WHILE_DOWNLOADING)
    assert machine.set_up() > 0
    assert machine.created == 1


def test_without_a_network_the_set_up_says_so_and_is_done_again(machine: FakeMachine) -> None:
    with pytest.raises(
        machine.bootstrap.SetupError, match="the package index cannot be reached: connect this"
    ):
        machine.set_up(HAS_NO_NETWORK)
    assert machine.set_up() > 0


def test_another_failure_of_pip_gives_its_reason_and_its_log(machine: FakeMachine) -> None:
    with pytest.raises(machine.bootstrap.SetupError, match=r"No space left on device\): .*pip\.log$"):
        machine.set_up(HAS_NO_SPACE)


def test_a_folder_that_is_no_environment_is_left_alone(bootstrap: ModuleType, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    with pytest.raises(bootstrap.SetupError, match="is a folder but no virtual environment"):
        bootstrap.create(tmp_path)
    assert precious.read_text() == "mine"


def test_an_error_is_one_line_and_exit_status_1(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.pip.write_text(HAS_NO_NETWORK)
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", str(machine.venv)])
    assert machine.bootstrap.main() == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: the package index cannot be reached: connect this machine to the network, or set pip's proxy "
        "or package index, and run the command again."
    ]


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("Collecting numpy>=1.26 (from scene_geo_loc==0.1.0)", "resolving numpy"),
        ("  Downloading torch-2.9.0-cp312-cp312-linux_x86_64.whl (899.8 MB)", "downloading torch (899.8 MB)"),
        ("  Using cached rich-14.0-py3-none-any.whl.metadata (18 kB)", "reading rich from the cache (18 kB)"),
        ("Requirement already satisfied: pip", None),
    ],
)
def test_lines_of_pip_are_summarised(bootstrap: ModuleType, line: str, meaning: str | None) -> None:
    assert bootstrap.activity(line) == meaning


def headers_in(folder: Path) -> str:
    (folder / "Python.h").touch()
    return str(folder)


def compilers_in(folder: Path) -> str:
    for name in ("gcc", "g++"):
        (folder / name).touch(mode=0o755)
    return str(folder)
