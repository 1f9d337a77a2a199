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

"""Runs the benchmark on the real sets below a folder, set by set and method by method, and resumes."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from scene_geo_loc import __version__
from scene_geo_loc.benchmarks.machine import describe_machine
from scene_geo_loc.benchmarks.real.experiment import Experiment, Tools
from scene_geo_loc.benchmarks.real.image_matcher import why_not_run
from scene_geo_loc.benchmarks.real.results import Kind, MethodParts, Part, RealResults, SetResult
from scene_geo_loc.benchmarks.real.sets import RealSet, find_sets, named_sets
from scene_geo_loc.core.artifacts import ArtifactCache
from scene_geo_loc.core.atomic import write_json
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.mapping.map_info import sha256_of
from scene_geo_loc.matchers import matcher_choices
from scene_geo_loc.networks import default

_RESULT = "result.json"


@dataclass(frozen=True)
class RealRun:
    """Settings of a run.

    Attributes:
        root: folder that has the sets.
        sets: names of sets; None for all.
        matchers: names of matchers; None for all that run on this machine.
        network: checkpoint, or None for the package's network.
        cache: folder for finished results; None to keep none.
        poses: folder for the poses files of sets without public ground truth.
        device: "auto", "cpu" or "cuda", see `Extractor`.
        show: displays progress.
        say: takes a line about what was found, left out or done.
    """

    root: Path
    sets: list[str] | None = None
    matchers: Sequence[str] | None = None
    network: Path | None = None
    cache: Path | None = None
    poses: Path | None = None
    device: str = "auto"
    show: ProgressDisplay = no_display
    say: Callable[[str], None] = lambda line: None

    def run(self) -> RealResults:
        """Runs what is not in the cache, and returns all results.

        Raises SceneGeoLocError where the root is missing, a set or matcher is unknown, or no set is found.
        """
        wanted = named_sets(self.sets)
        found: dict[str, list[Path]] = {entry.name: [] for entry in wanted}
        for entry, folder in find_sets(self.root):
            if entry.name in found:
                found[entry.name].append(folder)
        if not any(found.values()):
            raise SceneGeoLocError(
                f"{self.root}: none of the sets {', '.join(found)} was found; each has the layout that it is "
                "published in."
            )
        matchers, missing_methods = self._matchers()
        with ExitStack() as stack:
            root = (
                self.cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="real_"))) / "run"
            )
            cache = ArtifactCache(root)
            results = [
                self._set(entry, found[entry.name], matchers, cache) for entry in wanted if found[entry.name]
            ]
        for entry in wanted:
            if not found[entry.name]:
                self.say(f"{entry.title} is not there; it can be had from {entry.source}.")
        return RealResults(
            version=__version__,
            machine=describe_machine(),
            network=self.network.name if self.network else "the package's own",
            sets=results,
            missing=[entry.name for entry in wanted if not found[entry.name]],
            missing_methods=missing_methods,
        )

    def _matchers(self) -> tuple[list[str], list[str]]:
        """Returns the matchers that run, and a sentence for each other one."""
        choices = matcher_choices()
        for name in self.matchers or ():
            if name not in choices:
                raise SceneGeoLocError(f"There is no matcher {name!r}; name {', '.join(choices)}.")
        running, missing = [], []
        for name in self.matchers or choices:
            reason = why_not_run(name, self.network, self.device)
            if reason is None:
                running.append(name)
            else:
                missing.append(reason)
                self.say(f"Left out: {reason}")
        return running, missing

    def _set(
        self, entry: RealSet, folders: Sequence[Path], matchers: Sequence[str], cache: ArtifactCache
    ) -> SetResult:
        """Returns the results of a set."""
        methods: dict[str, list[Part]] = {}
        left_out, kind = [], Kind.PLACES  # of a set that cannot be opened, the kind does not matter
        for folder in folders:
            self.say(f"{entry.title}: {self._relative(folder)}")
            try:
                experiment = entry.open(folder)
            except SceneGeoLocError as error:
                left_out.append(self._without_root(error))
                self.say(f"Left out: {error}")
                continue
            kind = experiment.kind
            for method in experiment.methods(matchers):
                try:
                    parts = self._parts(entry, folder, experiment, method, cache)
                except SceneGeoLocError as error:
                    left_out.append(f"{method}: {self._without_root(error)}")
                    self.say(f"Left out: {method}: {error}")
                else:
                    where = "" if len(folders) == 1 else self._relative(folder)
                    named = [part.model_copy(update={"name": _named(where, part)}) for part in parts.parts]
                    methods.setdefault(method, []).extend(named)
        return SetResult(
            name=entry.name,
            kind=kind,
            folders=[self._relative(folder) for folder in folders],
            methods=[MethodParts(method=method, parts=parts) for method, parts in methods.items()],
            left_out=list(dict.fromkeys(left_out)),
        )

    def _parts(
        self, entry: RealSet, folder: Path, experiment: Experiment, method: str, cache: ArtifactCache
    ) -> MethodParts:
        """Returns the parts of a method, from the cache if they are there."""
        network = self.network or default.CHECKPOINT
        origin = {
            "set": entry.name,
            "folder": str(folder.resolve()),
            "modified": folder.stat().st_mtime_ns,
            "protocol": entry.protocol,
            "method": method,
            "network": sha256_of(network) if network.is_file() else str(network),
        }
        digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:8]
        name = f"{entry.name}_{re.sub(r'[^A-Za-z0-9]+', '_', folder.name)}_{method}_{digest}"
        file = cache.root / name / _RESULT
        if cache.is_complete(name, origin):
            with suppress(OSError, ValidationError):  # what cannot be read is made again
                return MethodParts.model_validate_json(file.read_bytes())
        cache.begin(name)
        with tempfile.TemporaryDirectory(prefix="real_") as scratch:
            tools = Tools(Path(scratch), self.poses, self.network, self.device, self.show)
            parts = MethodParts(method=method, parts=experiment.run(method, tools))
        write_json(file, parts.model_dump(mode="json"))
        cache.finish(name, origin)
        return parts

    def _relative(self, folder: Path) -> str:
        return folder.relative_to(self.root).as_posix() or "."

    def _without_root(self, error: SceneGeoLocError) -> str:
        """Returns a sentence with paths relative to the root, for pages that others read."""
        return str(error).replace(f"{self.root}/", "").replace(str(self.root), "the root")


def _named(folder: str, part: Part) -> str:
    """Returns the name of a part of a set with several folders, or with one, whose name is left out."""
    return ", ".join(filter(None, (folder, part.name))) or "all"
