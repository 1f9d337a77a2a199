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

"""Processes of the lowest priority that hold their parent's lock."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scene_geo_loc.core import background_process
from scene_geo_loc.core.background_process import NICENESS, BackgroundProcess
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.folder_lock import FolderLock, changing

WORKER = """
import os, sys, time
from pathlib import Path
from scene_geo_loc.core.background_process import answer_parent
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.folder_lock import changing

def work(request):
    print("at work", file=sys.stderr, flush=True)
    if request["asked"] == "fail":
        raise SceneGeoLocError("It is too small: 1 < 2.")
    if request["asked"] == "die":
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(3)
    with changing(Path(request["folder"]), "test"):
        try:
            time.sleep(request["seconds"])
            print("going on", file=sys.stderr, flush=True)
        finally:
            Path(request["folder"]).with_name("removed").touch()
    Path(request["folder"]).mkdir()
    return {"priority": os.getpriority(os.PRIO_PROCESS, 0)}

if __name__ == "__main__":
    sys.exit(answer_parent(work))
"""
PARENT = """
import sys
from pathlib import Path
from scene_geo_loc.core.background_process import BackgroundProcess
from scene_geo_loc.core.folder_lock import FolderLock

folder = sys.argv[1]
lock = FolderLock.acquire(Path(folder), "test")
request = {"asked": "work", "folder": folder, "seconds": 0.5}
process = BackgroundProcess("worker", request, lock, "test", lambda line: print(line, flush=True))
process.result()
"""


@pytest.fixture(autouse=True)
def _worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")


@pytest.fixture
def street(tmp_path: Path) -> Path:
    return tmp_path / "street"


def asked(street: Path, what: str, seconds: float = 0.0) -> dict[str, object]:
    return {"asked": what, "folder": str(street), "seconds": seconds}


def test_a_process_changes_the_folder_that_its_parent_has_locked(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_process, "NICENESS", NICENESS)
    lock = FolderLock.acquire(street, "test")
    lines: list[str] = []
    process = BackgroundProcess("worker", asked(street, "work"), lock, "test", lines.append)
    assert process.result() == {"priority": 19}
    assert lines == ["at work", "going on"]
    assert street.is_dir()
    with pytest.raises(SceneGeoLocError, match="is being changed"), changing(street, "test"):
        pass
    lock.release()
    with changing(street, "test"):
        pass


def test_a_failure_is_told_and_so_is_an_end_without_an_answer(street: Path) -> None:
    with pytest.raises(SceneGeoLocError, match=r"too small: 1 < 2"):
        BackgroundProcess("worker", asked(street, "fail"), None, "test", print).result()
    with pytest.raises(SceneGeoLocError, match=r"status 3\. at work out of memory"):
        BackgroundProcess("worker", asked(street, "die"), None, "test", lambda _: None).result()


def test_a_process_that_is_stopped_cleans_up_and_leaves_the_folder(street: Path) -> None:
    begun: list[str] = []
    process = BackgroundProcess("worker", asked(street, "work", 60.0), None, "test", begun.append)
    with pytest.raises(SceneGeoLocError, match="status 143"):
        _stopped_once(process, begun).result()
    assert street.with_name("removed").exists()
    assert not street.exists()


def _stopped_once(process: BackgroundProcess, begun: list[str]) -> BackgroundProcess:
    """The process, which is stopped in another thread once it is at work."""

    def stop() -> None:
        while not begun:
            time.sleep(0.01)
        time.sleep(0.05)
        process.stop()

    threading.Thread(target=stop).start()
    return process


def test_a_process_completes_its_work_under_the_lock_where_its_parent_is_killed(street: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(street)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"at work\n"
    parent.kill()
    parent.wait()
    with pytest.raises(SceneGeoLocError, match="is being changed"), changing(street, "test"):
        pass
    deadline = time.monotonic() + 60.0
    while not street.is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.02)
