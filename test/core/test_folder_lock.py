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

"""A folder is changed by one process at a time, and a process that ends leaves no lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.folder_lock import FolderLock, changing
from scene_geo_loc.core.partial import PartialFolder

HOLD = """
import sys, time
from pathlib import Path
from scene_geo_loc.core.folder_lock import FolderLock
lock = FolderLock.acquire(Path(sys.argv[1]), "map extend")
print("held", flush=True)
time.sleep(60)
"""
ADOPT = """
import sys
from pathlib import Path
from scene_geo_loc.core.folder_lock import FolderLock, changing
lock = FolderLock.adopt(Path(sys.argv[1]), int(sys.argv[2]), "building")
with lock.used_here(), changing(Path(sys.argv[1]), "writing"):
    print("adopted", flush=True)
sys.stdin.read()
lock.release(keeps_file=True)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "street")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_process_is_told_which_process_has_the_lock(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with (
        pytest.raises(MapError, match=rf"process {holder.pid} \(map extend\)"),
        changing(tmp_path / "street", "map prune", MapError),
    ):
        pass


def test_an_output_is_not_replaced_while_another_process_changes_it(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    (tmp_path / "street").mkdir()
    output = PartialFolder(tmp_path / "street", "reference map", error=MapError)
    (output.begin() / "map.json").touch()
    with pytest.raises(MapError, match=f"process {holder.pid}"):
        output.publish(lambda path: None)
    assert (output.folder / "map.json").exists()
    assert list((tmp_path / "street").iterdir()) == []
    output.discard()


def test_a_killed_process_leaves_no_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with changing(tmp_path / "street", "map prune"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_link_and_its_folder_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "street").mkdir()
    (tmp_path / "link").symlink_to("street")
    lock = FolderLock.acquire(tmp_path / "link", "first")
    with pytest.raises(SceneGeoLocError, match=str(os.getpid())):
        FolderLock.acquire(tmp_path / "street", "second")
    lock.release()


def test_blocks_of_one_thread_nest_and_another_thread_is_refused(tmp_path: Path) -> None:
    refused: list[str] = []

    def other() -> None:
        try:
            with changing(tmp_path / "street", "second"):
                pass
        except SceneGeoLocError as error:
            refused.append(str(error))

    with changing(tmp_path / "street", "first"), changing(tmp_path / "street", "inner"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert "(first)" in refused[0]


def test_a_child_keeps_the_lock_of_a_parent_that_has_released_it(tmp_path: Path) -> None:
    street = tmp_path / "street"
    lock = FolderLock.acquire(street, "node")
    child = subprocess.Popen(
        [sys.executable, "-c", ADOPT, str(street), str(lock.fileno())],
        pass_fds=[lock.fileno()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "adopted\n"
    lock.release(keeps_file=True)  # as a kill would
    with pytest.raises(SceneGeoLocError, match=rf"process {child.pid} \(building\)"):
        FolderLock.acquire(street, "second")
    child.communicate()
    FolderLock.acquire(street, "second").release()
    assert list(tmp_path.iterdir()) == []
