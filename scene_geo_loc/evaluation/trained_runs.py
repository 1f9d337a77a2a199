"""Run folders of trained systems and single checkpoints, as runs of a descriptor benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scene_geo_loc.errors import SceneGeoLocError
from scene_geo_loc.evaluation.descriptor_systems import (
    KINDS,
    NetworkSystem,
    SystemName,
    SystemRun,
    is_plain,
    traits_of,
)
from scene_geo_loc.evaluation.scenario_images import Size
from scene_geo_loc.training.run_folder import BEST, CONFIG, RESULT


@dataclass(frozen=True)
class FoundRuns:
    """What there is to benchmark.

    Attributes:
        runs: those that are finished; what is to be compared with each other stands together.
        protocols: by name, the settings of each protocol that they were trained by.
        left_out: a sentence for each one that is not finished.
    """

    runs: Sequence[SystemRun]
    protocols: Mapping[str, Mapping[str, Any]]
    left_out: Sequence[str]


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
        runs.append(_run(folder / BEST, system, seed, config.traits, device, whiten))
    return FoundRuns(sorted(runs, key=_place), protocols, left_out)


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
            without_seed=(_named(system), protocol, values.get("triplets")),
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise SceneGeoLocError(
            f"{path} is no config of a run of `train descriptor`, with a system, a protocol and a seed: "
            "restore it, or name another folder."
        ) from error


def _named(system: dict[str, Any]) -> dict[str, Any]:
    """A system whose files of weights are named without their folders, which may differ between runs."""
    return {key: Path(value).name if key.endswith("_weights") else value for key, value in system.items()}


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
