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

"""The command `scene-geo-loc` as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scene_geo_loc import __version__
from scene_geo_loc.cli import main
from scene_geo_loc.core.errors import MapError

pytestmark = pytest.mark.slow

COMMANDS = (
    "simulate",
    "convert",
    "map",
    "localize",
    "evaluate",
    "describe",
    "export",
    "benchmark",
    "depth",
    "triplets",
    "demo",
    "bench",
)
HEAVY = ("torch", "openvino", "cv2", "scipy", "faiss", "embreex", "rclpy", "matplotlib", "pyarrow", "rosbags")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from scene_geo_loc.cli.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"scene-geo-loc {__version__}\n"


def test_help_names_every_command() -> None:
    shown = run("--help").stdout
    for command in COMMANDS:
        assert f" {command} " in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scene-geo-loc", command, "--help"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert not ended.value.code
    assert "Usage:" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, scene_geo_loc.cli.main; print(*sorted(set(sys.modules) & set({HEAVY})))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_an_error_that_the_user_can_act_on_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def app() -> None:
        raise MapError("street.map is no reference map: build one with `scene-geo-loc map build`.")

    monkeypatch.setattr(main, "app", app)
    with pytest.raises(SystemExit) as exit_:
        main.main()
    assert (
        exit_.value.code == "error: street.map is no reference map: build one with `scene-geo-loc map build`."
    )


@pytest.mark.parametrize(("module", "extra"), [("torch", "training"), ("jinja2", "reports")])
def test_a_missing_optional_module_names_the_extra_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    def app() -> None:
        raise ModuleNotFoundError(f"No module named '{module}.nn'", name=f"{module}.nn")

    monkeypatch.setattr(main, "app", app)
    with pytest.raises(SystemExit, match=rf"needs {module}, .*scene_geo_loc\[{extra}\]"):
        main.main()


def test_another_missing_module_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def app() -> None:
        raise ModuleNotFoundError("No module named 'numpyy'", name="numpyy")

    monkeypatch.setattr(main, "app", app)
    with pytest.raises(ModuleNotFoundError):
        main.main()


def test_an_unknown_command_is_refused() -> None:
    assert run("fly").returncode == 2


def test_ctrl_c_ends_a_command_with_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main.app.registered_callback, "callback", interrupted)
    monkeypatch.setattr(sys, "argv", ["scene-geo-loc", "map", "info"])
    with pytest.raises(SystemExit) as exit_:
        main.main()
    assert exit_.value.code == 130
