"""Run folders of trained systems and single checkpoints, as runs of a descriptor benchmark."""

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
    """What there is to benchmark.

    Attributes:
        runs: those that are finished; what is to be compared with each other stands together.
        protocols: by name, the settings of each protocol that they were trained by.
        left_out: a sentence for each one that is not finished.
        begun_with: a sentence for each file of weights that runs began with in place of ImageNet's.
    """

    runs: Sequence[SystemRun]
    protocols: Mapping[str, Mapping[str, Any]]
    left_out: Sequence[str]
    begun_with: Sequence[str]


def find_runs(folders: Sequence[Path], device: str = "auto", whiten: Sequence[int] = ()) -> FoundRuns:
    """All run folders that are, or lie in, the folders.

    Raises:
        SceneGeoLocError: a folder has none; a config cannot be read; two runs are of one system, protocol
            and seed; or runs that bear one name differ in more than the seed.
        CheckpointError: a checkpoint cannot be read.
    """
    runs: list[SystemRun] = []
    protocols: dict[str, Mapping[str, Any]] = {}
    left_out: list[str] = []
    configs: dict[SystemName, tuple[Path, Any]] = {}
    seeds: dict[tuple[SystemName, int], Path] = {}
    files: dict[tuple[str, str], dict[str, None]] = {}
    for folder in _run_folders(folders):
        config = _read(folder / CONFIG)
        if not ((folder / BEST).is_file() and (folder / RESULT).is_file()):
            left_out.append(f"{config.name} with seed {config.seed} is left out: it is not finished.")
            continue
        if config.protocol.get("freeze", "descriptor") != "descriptor":
            left_out.append(f"{config.name} is left out: its decoder alone is trained, not its descriptor.")
            continue
        system, seed = SystemName(config.name, config.protocol_name), config.seed
        if (other := seeds.setdefault((system, seed), folder)) != folder:
            raise SceneGeoLocError(f"{other} and {folder} are both {system.name} with seed {seed}: name one.")
        first, same = configs.setdefault(system, (folder, config.without_seed))
        if protocols.setdefault(system.protocol, config.protocol) != config.protocol:
            raise SceneGeoLocError(
                f"{folder} is trained by another protocol {system.protocol} than the runs before it: give "
                "protocols that differ names of their own."
            )
        if same != config.without_seed:
            raise SceneGeoLocError(
                f"{first} and {folder} go by one name, {system.name}, and their configs differ in more than "
                "the seed: give systems that differ names of their own."
            )
        for key in config.files:
            files.setdefault(key, {})[system.name] = None
        runs.append(_run(folder / BEST, system, seed, config.traits, device, whiten))
    begun_with = [
        f"The {part} of {'; '.join(names)} began with {file}." for (part, file), names in files.items()
    ]
    return FoundRuns(sorted(runs, key=_place), protocols, left_out, begun_with)


def checkpoint_run(checkpoint: Path, device: str = "auto", whiten: Sequence[int] = ()) -> SystemRun:
    """A checkpoint alone, named by its file. Raises CheckpointError where it cannot be read."""
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
    files: Sequence[tuple[str, str]]
    without_seed: Any


def _run_folders(folders: Sequence[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for folder in folders:
        inside = list(_outermost(folder)) if folder.is_dir() else []
        if not inside:
            raise SceneGeoLocError(
                f"{folder} is no run folder of `train descriptor` and has none in it, with a {CONFIG}: "
                "name one that is or has."
            )
        found |= dict.fromkeys(inside)
    return list(found)


def _outermost(folder: Path) -> Iterator[Path]:
    """The run folders in a folder; what lies in a run folder, its earlier stages say, is part of that run."""
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
            files=_files_of(system),
            without_seed=(_comparable(system), protocol, values.get("triplets")),
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise SceneGeoLocError(
            f"{path} is no config of a run of `train descriptor`, with a system, a protocol and a seed: "
            "restore it, or name another folder."
        ) from error


def _comparable(system: dict[str, Any]) -> dict[str, Any]:
    """A system as it may be compared with another one of its name.

    Files of weights are named without their folders, which may differ between runs.  Settings of the network
    that a run's version of this package did not have yet are what they were then: the defaults.
    """
    named = {key: Path(value).name if key.endswith("_weights") else value for key, value in system.items()}
    return named | {"network": NetworkConfig.model_validate(system["network"]).model_dump()}


def _files_of(system: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What began with weights of a file, and that file."""
    parts = ("encoder", "depth_encoder", "decoder")
    given = {part: system.get(f"{part}_weights") for part in parts}
    used = {"encoder"}
    if DESCRIPTORS[str(system["network"]["descriptor"])].has_second_encoder:
        used |= {"depth_encoder", "decoder"}
    return [
        (part.replace("_", " "), _short(Path(str(file))))
        for part, file in given.items()
        if part in used and file not in (None, IMAGENET, NO_WEIGHTS)
    ]


def _short(file: Path) -> str:
    """A file without its folders, but for a run's, whose checkpoints all bear the same names."""
    return "/".join(file.parts[-3:]) if file.parent.name == Path(BEST).parent.name else file.name


def _run(
    checkpoint: Path,
    system: SystemName,
    seed: int | None,
    traits: Mapping[str, Any],
    device: str,
    whiten: Sequence[int],
) -> SystemRun:
    """The run of a checkpoint, which is looked into now, so that a damaged one ends no benchmark midway."""
    from scene_geo_loc.networks.checkpoint import digest, load_checkpoint

    network, provenance = load_checkpoint(checkpoint)
    size: Size = (network.config.input_width, network.config.input_height)
    return SystemRun(
        system,
        lambda width, height: NetworkSystem(load_checkpoint(checkpoint)[0], device),
        lambda width, height: size,
        seed,
        traits_of(network.config) | dict(traits),
        digest(network) if network.is_fitted else "",
        str(provenance.get("parent", "")) if isinstance(provenance, dict) else "",
        whiten,
    )
