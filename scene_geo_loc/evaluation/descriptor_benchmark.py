"""Global descriptors on the ICRA paper's four scenarios, system by system.

A system is a small object: it may fit itself to images of the place, and then describes images.
Images are read a few at a time and only descriptors are kept, so memory does not grow with the images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.errors import SceneGeoLocError, TraversalError
from scene_geo_loc.evaluation.describe import UNREADABLE, describe_images, fit_extractor, spread
from scene_geo_loc.evaluation.paired import compare_paired
from scene_geo_loc.evaluation.paper_tables import DAYTIME
from scene_geo_loc.evaluation.recall import PROTOCOL, PlaceRecall, measure_recall
from scene_geo_loc.traversals.frame import Skipped

if TYPE_CHECKING:
    from scene_geo_loc.networks.extractor import Extractor
    from scene_geo_loc.training.scenarios import Scenario
    from scene_geo_loc.training.views import View

Image = NDArray[np.uint8]
Tell = Callable[[int, int], None]
"""Takes how many images are done, and of how many."""

_BATCH = 16
"""Images that are in memory at a time."""


class DescriptorSystem(Protocol):
    """What makes a descriptor of an image."""

    name: str

    def fit(self, images: Iterable[Image]) -> None:
        """Adapts to at most `FIT_KEYFRAMES` reference images, spread over the place, where it needs that."""
        ...

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Unit descriptors (N, D) of RGB images, each (H, W, 3)."""
        ...

    @property
    def parameters(self) -> int:
        """Numbers in its networks, once it is fitted."""
        ...


class FirstNetwork:
    """An ImageNet encoder with NetVLAD and a projection, both fitted on the references, nothing trained."""

    name = "EfficientNet-Lite0 + NetVLAD, fitted on the references"

    def __init__(self, device: str = "auto") -> None:
        self._device = device
        self._extractor: Extractor | None = None

    def fit(self, images: Iterable[Image]) -> None:
        """Fits pooling and projection, and forgets what it was fitted on before."""
        self._extractor = fit_extractor(images, self._device)

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Unit descriptors (N, 256)."""
        assert self._extractor is not None
        return describe_images(self._extractor, images)

    @property
    def parameters(self) -> int:
        """Those of encoder, pooling and projection."""
        assert self._extractor is not None
        return sum(parameter.numel() for parameter in self._extractor.network.parameters())


SYSTEMS: tuple[Callable[[str], DescriptorSystem], ...] = (FirstNetwork,)
"""What makes the systems that are compared, for a device; the first one is what others are compared with."""


@dataclass(frozen=True)
class ScenarioResult:
    """One system in one scenario.

    Attributes:
        references, queries: the views that could be read, as `recall` counts them.
        skipped: what was left out, and why.
    """

    references: Sequence[View]
    queries: Sequence[View]
    recall: PlaceRecall
    skipped: Skipped


@dataclass(frozen=True)
class SystemResult:
    """One system in all scenarios, by their names, and what it costs.

    Attributes:
        parameters: numbers in its networks.
        bytes_an_image: of a descriptor in float32.
        ms_an_image: median over batches, from the image in memory to its descriptor.
    """

    name: str
    parameters: int
    bytes_an_image: int
    ms_an_image: float
    scenarios: dict[str, ScenarioResult]

    def daytime_mean(self, number: Callable[[PlaceRecall], float]) -> float | None:
        """The mean of a number over the three scenarios by day, as in the paper's Table I.

        None where one of them is missing.
        """
        if not set(DAYTIME) <= set(self.scenarios):
            return None
        return float(np.mean([number(self.scenarios[name].recall) for name in DAYTIME]))


@dataclass(frozen=True)
class Benchmark:
    """Systems on the scenarios of a folder of runs.

    Attributes:
        name: of the folder.
        left_out: a sentence for each scenario that could not be had.
    """

    name: str
    systems: Sequence[SystemResult]
    left_out: Sequence[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        first = self.systems[0]
        return {
            "runs": self.name,
            "protocol": PROTOCOL,
            "left_out": list(self.left_out),
            "systems": {result.name: _record(result, first) for result in self.systems},
        }


def _record(result: SystemResult, first: SystemResult) -> dict[str, Any]:
    record: dict[str, Any] = {
        "parameters": result.parameters,
        "bytes_an_image": result.bytes_an_image,
        "ms_an_image": round(result.ms_an_image, 2),
        "scenarios": {
            name: scenario.recall.to_dict() | {"left_out": scenario.skipped.counts}
            for name, scenario in result.scenarios.items()
        },
    }
    if result is not first:
        record["recall_at_1_against_the_first_system"] = {
            name: compare_paired(scenario.recall.right, first.scenarios[name].recall.right).to_dict()
            for name, scenario in result.scenarios.items()
        }
    return record


def benchmark_descriptors(
    root: Path, systems: Iterable[DescriptorSystem], tell: Tell = lambda done, total: None
) -> Benchmark:
    """Runs systems on all scenarios that a folder of RobotCar runs has.

    Raises SceneGeoLocError where there is no scenario, or where none of its images can be read.
    """
    from scene_geo_loc.training.scenarios import load_scenarios

    scenarios, left_out = load_scenarios(root)
    return Benchmark(root.name, [run_system(system, scenarios, tell) for system in systems], left_out)


def run_system(
    system: DescriptorSystem, scenarios: Sequence[Scenario], tell: Tell = lambda done, total: None
) -> SystemResult:
    """One system on scenarios; references that several of them share are described once."""
    shared = {_files(scenario.references): scenario.references for scenario in scenarios}
    fitted_on = sum(len(spread(len(views))) for views in shared.values())
    total = fitted_on + sum(len(views) for views in shared.values()) + sum(len(s.queries) for s in scenarios)
    work = _Work(system, tell, total)
    results: dict[str, ScenarioResult] = {}
    for files, references in shared.items():
        work.fit(references)
        described, unreadable = work.describe(references)
        for scenario in scenarios:
            if _files(scenario.references) == files:
                results[scenario.name] = work.score(scenario, described, unreadable)
    return SystemResult(
        system.name,
        system.parameters,
        described.descriptors[0].nbytes,
        float(np.median(work.ms_an_image)),
        {scenario.name: results[scenario.name] for scenario in scenarios},
    )


def _files(views: Sequence[View]) -> tuple[Path, ...]:
    return tuple(view.files.image for view in views)


@dataclass(frozen=True)
class _Described:
    views: list[View]
    descriptors: NDArray[np.float32]

    @property
    def positions(self) -> NDArray[np.float64]:
        return np.array([view.position for view in self.views])


class _Work:
    """Reads views for a system, times it, and tells how far it is."""

    def __init__(self, system: DescriptorSystem, tell: Tell, total: int) -> None:
        self._system, self._tell, self._total = system, tell, total
        self._done = 0
        self.ms_an_image: list[float] = []
        tell(0, total)

    def fit(self, views: Sequence[View]) -> None:
        chosen = [views[i] for i in spread(len(views))]
        self._system.fit(image for _, image in self._read(chosen, Skipped()))

    def describe(self, views: Sequence[View]) -> tuple[_Described, Skipped]:
        skipped = Skipped()
        kept: list[View] = []
        descriptors: list[NDArray[np.float32]] = []
        batch: list[Image] = []

        def flush() -> None:
            if batch:
                begin = time.perf_counter()
                descriptors.append(np.asarray(self._system.describe(batch), np.float32))
                self.ms_an_image.append(1e3 * (time.perf_counter() - begin) / len(batch))
                batch.clear()

        for view, image in self._read(views, skipped):
            kept.append(view)
            batch.append(image)
            if len(batch) == _BATCH:
                flush()
        flush()
        if not kept:
            raise SceneGeoLocError(
                f"None of the {len(views)} images of run {views[0].run} can be read: check its files."
            )
        return _Described(kept, np.concatenate(descriptors)), skipped

    def score(self, scenario: Scenario, references: _Described, unreadable: Skipped) -> ScenarioResult:
        queries, skipped = self.describe(scenario.queries)
        for counts in (scenario.skipped.counts, unreadable.counts):
            for reason, count in counts.items():
                skipped.add(reason, count)
        recall = measure_recall(
            queries.descriptors, queries.positions, references.descriptors, references.positions
        )
        return ScenarioResult(references.views, queries.views, recall, skipped)

    def _read(self, views: Sequence[View], skipped: Skipped) -> Iterator[tuple[View, Image]]:
        for view in views:
            try:
                image = view.read()
            except TraversalError:
                skipped.add(UNREADABLE)
            else:
                yield view, image
            self._done += 1
            self._tell(self._done, self._total)
