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

"""Finds run folders of trained systems and single checkpoints for the descriptor benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scene_geo_loc.benchmarks.descriptors.scenario_images import Size
from scene_geo_loc.benchmarks.descriptors.systems import (
    KINDS,
    NetworkSystem,
    SystemName,
    SystemRun,
    is_plain,
    traits_of,
)
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.training.common.config import IMAGENET, NO_WEIGHTS
from scene_geo_loc.training.common.run_folder import BEST, CONFIG, RESULT


@dataclass(frozen=True)
class FoundRuns:
    """Runs to benchmark.

    Attributes:
        runs: finished runs, ordered so that systems to compare stand together.
        protocols: settings of each training protocol, by name.
        left_out: a sentence for each run that is excluded.
        begun_with: initial weights of each trained part of a system, by name of system and part.
    """

    runs: Sequence[SystemRun]
    protocols: Mapping[str, Mapping[str, Any]]
    left_out: Sequence[str]
    begun_with: Mapping[str, Mapping[str, str]]


def find_runs(folders: Sequence[Path], device: str = "auto", whiten: Sequence[int] = ()) -> FoundRuns:
    """Finds all run folders in the given folders, or the folders themselves.

    Raises:
        SceneGeoLocError: a folder has no run; a config cannot be read; two runs have the same system,
            protocol and seed; or runs of one name differ in more than the seed.
        CheckpointError: a checkpoint cannot be read.
    """
    runs: list[SystemRun] = []
    protocols: dict[str, Mapping[str, Any]] = {}
    left_out: list[str] = []
    configs: dict[SystemName, tuple[Path, Any]] = {}
    seeds: dict[tuple[SystemName, int], Path] = {}
    begun_with: dict[str, Mapping[str, str]] = {}
    for folder in _run_folders(folders):
        config = _read(folder / CONFIG)
        if not ((folder / BEST).is_file() and (folder / RESULT).is_file()):
            left_out.append(
                f"{config.name} with seed {config.seed} is excluded: its training is not finished."
            )
            continue
        if config.protocol.get("freeze", "descriptor") != "descriptor":
            left_out.append(f"{config.name} is excluded: only its decoder was trained, not its descriptor.")
            continue
        system, seed = SystemName(config.name, config.protocol_name), config.seed
        if (other := seeds.setdefault((system, seed), folder)) != folder:
            raise SceneGeoLocError(
                f"{other} and {folder} both hold {system.name} with seed {seed}: name only one."
            )
        first, same = configs.setdefault(system, (folder, config.without_seed))
        if protocols.setdefault(system.protocol, config.protocol) != config.protocol:
            raise SceneGeoLocError(
                f"{folder}: its protocol {system.protocol} differs from that of other runs with the "
                f"same name: give "
                "different protocols different names."
            )
        if same != config.without_seed:
            raise SceneGeoLocError(
                f"{first} and {folder} have the same name, {system.name}, but their configs differ "
                f"in more than the "
                "seed: give different systems different names."
            )
        if config.begun_with:
            begun_with[system.name] = config.begun_with
        runs.append(_run(folder / BEST, system, seed, config.traits, device, whiten))
    return FoundRuns(sorted(runs, key=_place), protocols, left_out, begun_with)


def checkpoint_run(checkpoint: Path, device: str = "auto", whiten: Sequence[int] = ()) -> SystemRun:
    """Returns the run of a single checkpoint, named by its file. Raises CheckpointError."""
    return _run(checkpoint, SystemName(checkpoint.stem), None, {}, device, whiten)


def _place(run: SystemRun) -> tuple[str | int | bool, ...]:
    traits = run.traits
    kinds = [*KINDS, traits["descriptor"]]
    return (
        run.system.protocol,
        str(traits["encoder"]),
        str(traits["pooling"]),
        not is_plain(traits),
        kinds.index(traits["descriptor"]),
        run.system.name,
        run.seed or 0,
    )


@dataclass(frozen=True)
class _RunConfig:
    name: str
    seed: int
    protocol_name: str
    protocol: Mapping[str, Any]
    traits: Mapping[str, Any]
    begun_with: Mapping[str, str]
    without_seed: Any


def _run_folders(folders: Sequence[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for folder in folders:
        inside = list(_outermost(folder)) if folder.is_dir() else []
        if not inside:
            raise SceneGeoLocError(
                f"{folder} is not a run folder of a trained descriptor and contains none (no "
                f"{CONFIG}): name a run "
                "folder, or a folder of run folders."
            )
        found |= dict.fromkeys(inside)
    return list(found)


def _outermost(folder: Path) -> Iterator[Path]:
    """Yields the outermost run folders in a folder; folders inside them, such as stages, are skipped."""
    if (folder / CONFIG).is_file():
        yield folder
    else:
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            yield from _outermost(inner)


def _read(path: Path) -> _RunConfig:
    try:
        values = yaml.safe_load(path.read_text())
        system, protocol = dict(values["system"]), dict(values["protocol"])
        return _RunConfig(
            name=str(system["name"]),
            seed=int(values["seed"]),
            protocol_name=str(protocol.pop("name")),
            protocol=protocol,
            traits={key: system[key] for key in ("augmentation", "depth_loss") if key in system},
            begun_with=_begun_with(system),
            without_seed=(_comparable(system), protocol, values.get("triplets")),
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise SceneGeoLocError(
            f"{path} is not the config of a trained descriptor with system, protocol and seed: "
            f"restore it, or "
            "name another folder."
        ) from error


def _comparable(system: dict[str, Any]) -> dict[str, Any]:
    """Returns a system's settings in a form to compare with another system of the same name.

    Weight files are named without their folders, which may differ between runs. Network settings that an
    older version of this package did not have get their defaults.
    """
    named = {key: Path(value).name if key.endswith("_weights") else value for key, value in system.items()}
    return named | {"network": NetworkConfig.model_validate(system["network"]).model_dump()}


def _begun_with(system: Mapping[str, Any]) -> dict[str, str]:
    """Returns the initial weights of the parts of a system that are trained by triplets, by name of the part.

    They are "ImageNet's", "random", or the name of a file.
    """
    parts = ["encoder"]
    descriptor = DESCRIPTORS[str(system["network"]["descriptor"])]
    if descriptor.has_second_encoder:
        parts.append("depth_encoder")
    if descriptor.has_decoder:
        parts.append("decoder")
    given = {part: system.get(f"{part}_weights") for part in parts}
    return {
        part.replace("_", " "): _title_of(weights) for part, weights in given.items() if weights is not None
    }


def _title_of(weights: object) -> str:
    titles = {IMAGENET: "ImageNet's", NO_WEIGHTS: "random"}
    return titles.get(str(weights)) or _short(Path(str(weights)))


def _short(file: Path) -> str:
    """Returns a file's name; for a checkpoint of a run, with the run's folder, since the names are equal."""
    return "/".join(file.parts[-3:]) if file.parent.name == Path(BEST).parent.name else file.name


def _run(
    checkpoint: Path,
    system: SystemName,
    seed: int | None,
    traits: Mapping[str, Any],
    device: str,
    whiten: Sequence[int],
) -> SystemRun:
    """Returns the run of a checkpoint; reads the checkpoint at once, so that damage is found early."""
    from scene_geo_loc.networks.checkpoint import load_network

    network, provenance = load_network(checkpoint)
    size: Size = (network.input_width, network.input_height)
    return SystemRun(
        system,
        lambda width, height: NetworkSystem(load_network(checkpoint)[0], device),
        lambda width, height: size,
        seed,
        traits_of(network.config) | dict(traits),
        network.digest if network.is_fitted else "",
        str(provenance.get("parent", "")) if isinstance(provenance, dict) else "",
        whiten,
    )
