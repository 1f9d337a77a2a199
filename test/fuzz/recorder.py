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

"""Kills a recorder at random moments, or gives it no room: what it wrote until then can be read.

python -m fuzz.recorder --kills 50 --limits 20
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from rclpy.node import Node
from std_msgs.msg import Header

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.bags.recorder import SAVE_PERIOD_S
from scene_geo_loc.ros.common.messages import ns_to_stamp, stamp_to_ns
from scene_geo_loc.ros.harness.node_process import own_domain, running_program, spinning_node
from scene_geo_loc.traversals.rosbag.bag import Bag

TOPIC = "/numbers"
RATE_HZ = 50.0
LATE_S = 2.0
"""Time that a message may take to the file, besides the period of saving, on a busy machine."""
LONGEST_S = 6.0
START_S = 60.0
END_S = 30.0


class Fault(Exception):
    """Messages were lost, or something else in the folder."""


class Recording:
    """A folder with other files, in which a recorder writes `drive` from numbered messages."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node, self.folder, self.out = node, folder, folder / "drive"
        self.log = folder.parent / "recorder.log"
        self._publisher = node.create_publisher(Header, TOPIC, 100)
        self._sent_s: list[float] = []
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
        (folder / "drive.partial").mkdir()
        (folder / "drive.partial" / "photo.png").write_bytes(b"mine too")

    def record(self, seconds: float, limit: int = 0) -> subprocess.Popen[bytes]:
        """Runs a recorder for some seconds of messages, and kills it; returns the ended process.

        Args:
            limit: most bytes of its file, after which it must end by itself; 0 for none.
        """
        self._sent_s = []
        parameters = {"use_sim_time": False, "out": str(self.out), "topics": [TOPIC]}
        with running_program("bag_recorder", parameters, self.log) as process:
            self._wait_until_recording(process)
            if limit:
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
            end = time.monotonic() + (START_S if limit else seconds)
            while time.monotonic() < end and process.poll() is None:
                self._sent_s.append(time.monotonic())
                stamp = ns_to_stamp(len(self._sent_s))
                self._publisher.publish(Header(stamp=stamp, frame_id="x" * (2000 if limit else 10)))
                time.sleep(1 / RATE_HZ)
            if not limit:
                process.send_signal(signal.SIGKILL)
            process.wait(END_S)
        return process

    def finish(self) -> None:
        """Records a moment, and ends the recorder as by Ctrl-C. Raises Fault."""
        parameters = {"use_sim_time": False, "out": str(self.out), "topics": [TOPIC]}
        with running_program("bag_recorder", parameters, self.log) as process:
            self._wait_until_recording(process)
            for i in range(10):
                self._publisher.publish(Header(stamp=ns_to_stamp(i)))
                time.sleep(1 / RATE_HZ)
            process.send_signal(signal.SIGINT)
            process.wait(END_S)
        if process.returncode or not self.out.is_dir():
            raise Fault(f"the next recording failed: {self.log.read_text()}")

    def _wait_until_recording(self, process: subprocess.Popen[bytes]) -> None:
        # A killed subscriber counts as one for a while.
        end = time.monotonic() + START_S
        while f"Recording {TOPIC}." not in self.log.read_text():
            if time.monotonic() > end or process.poll() is not None:
                raise Fault(f"the recorder did not start: {self.log.read_text()}")
            time.sleep(0.01)

    def check_rest(self, ended_s: float) -> int:
        """Returns how many messages the interrupted recording holds. Raises Fault where some are missing."""
        if (self.folder / "notes.txt").read_text() != "mine":
            raise Fault("another file was changed")
        if (self.folder / "drive.partial" / "photo.png").read_bytes() != b"mine too":
            raise Fault("a file in a folder of the user was changed")
        rests = [path for path in self.folder.glob(".drive.partial*/drive") if path.is_dir()]
        due = sum(sent_s < ended_s - SAVE_PERIOD_S - LATE_S for sent_s in self._sent_s)
        if len(rests) != 1:
            raise Fault(f"there are {len(rests)} interrupted recordings, not one")
        try:
            bag = Bag(rests[0])
            numbers = [stamp_to_ns(message.decode().stamp) for message in bag.messages([TOPIC])]
        except SceneGeoLocError as error:
            if due:
                raise Fault(f"{due} messages were due, and nothing can be read: {error}") from error
            return 0
        if numbers != list(range(numbers[0] if numbers else 0, numbers[-1] + 1 if numbers else 0)):
            raise Fault("there are gaps between the messages")
        if (numbers[-1] if numbers else 0) < due:
            raise Fault(f"the last message is number {numbers[-1] if numbers else 0} < {due}")
        return len(numbers)

    def contents(self) -> dict[str, bytes]:
        """Returns all files of the folder with their bytes."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


def interrupt(node: Node, folder: Path, seconds: float, limit: int = 0) -> int:
    """Interrupts a recorder, and records once more; returns the messages saved. Raises Fault."""
    recording = Recording(node, folder)
    process = recording.record(seconds, limit)
    ended_s = time.monotonic()
    if limit:
        said = recording.log.read_text()
        if process.returncode != 1 or "Traceback" in said or "cannot be written" not in said:
            raise Fault(f"with {limit} bytes of room it ended with {process.returncode}: {said[-1500:]}")
    saved = recording.check_rest(recording._sent_s[0] if limit else ended_s)
    before = recording.contents()
    recording.finish()
    after = recording.contents()
    for name, data in before.items():
        if after.get(name) != data:
            raise Fault(f"the next recording changed or removed {name}")
    return saved


def main(arguments: list[str] | None = None) -> int:
    """Interrupts recorders, prints a table, and returns the number of faults."""
    parser = argparse.ArgumentParser(description="Kills a recorder at random moments, or gives it no room.")
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs")
    parser.add_argument("--limits", type=int, default=20, help="full disks")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    random, counts = Random(options.seed), Counter[str]()
    plans = [("killed", random.uniform(0.0, LONGEST_S), 0) for _ in range(options.kills)]
    plans += [("full", 0.0, random.randint(2000, 1 << 20)) for _ in range(options.limits)]
    with (
        own_domain() as domain,
        spinning_node("numbers", domain) as node,
        tempfile.TemporaryDirectory(prefix="recorder-") as folder,
    ):
        for name, seconds, limit in plans:
            shutil.rmtree(Path(folder, "work"), ignore_errors=True)
            try:
                counts["messages saved"] += interrupt(node, Path(folder, "work"), seconds, limit)
                counts[name] += 1
            except Fault as fault:
                counts["faults"] += 1
                print(f"recorder {name} after {seconds} s, {limit} bytes: FAULT {fault}", flush=True)
    print(f"recorder     {', '.join(f'{count} {what}' for what, count in counts.items())}")
    return min(counts["faults"], 99)


if __name__ == "__main__":
    sys.exit(main())
