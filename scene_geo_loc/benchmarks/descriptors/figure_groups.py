"""Which systems of a benchmark are drawn together: few enough to tell their curves apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scene_geo_loc.benchmarks.descriptors.results import Benchmark, SystemResult
from scene_geo_loc.benchmarks.descriptors.systems import is_plain, paper_name
from scene_geo_loc.metrics.published import paper_tables

MOST = 7
"""Systems whose curves can be told apart in one picture."""

PAPER = (paper_tables.BASELINE, paper_tables.PROPOSED, paper_tables.NIGHT)


@dataclass(frozen=True)
class FigureGroup:
    """Systems of one picture of curves.

    Attributes:
        slug: for a file's name.
        title: what they have in common; empty where they are all there are.
        paper: the paper's systems that stand beside them.
    """

    slug: str
    title: str
    systems: Sequence[SystemResult]
    paper: Sequence[str]


def figure_groups(benchmark: Benchmark) -> list[FigureGroup]:
    """All systems where they are few; else by protocol, encoder and pooling.

    Those with one of this package's switches stand in a picture of their own, beside the plain ones that
    they are to be judged by; whitened ones stand in none, for their curves run along the plain ones.
    """
    systems = [result for result in benchmark.systems if result.system.whitened is None]
    if len(systems) <= MOST:
        return [FigureGroup("recall", "", systems, PAPER)]
    protocols = {run.digest: result.system.protocol for result in systems for run in result.runs}
    by_kind: dict[tuple[str, ...], list[SystemResult]] = {}
    for result in systems:
        # What was fine-tuned stands beside what it was before.
        protocol = protocols.get(result.runs[0].parent or "none", result.system.protocol)
        by_kind.setdefault(_kind(protocol, result), []).append(result)
    groups = []
    for kind, members in by_kind.items():
        groups += _split(kind, members)
    return groups


def _kind(protocol: str, result: SystemResult) -> tuple[str, ...]:
    if not protocol:
        return ()
    # "RGBtD + MAC (A)" without its descriptor is "MAC (A)".
    return protocol, paper_name(result.traits).split(" + ", 1)[1]


def _split(kind: tuple[str, ...], members: Sequence[SystemResult]) -> list[FigureGroup]:
    title = f"{kind[1]}, protocol {kind[0]}" if kind else "Other systems"
    paper = _paper(kind[1]) if kind else PAPER
    if len(members) <= MOST:
        return [FigureGroup(_slug(title), title, members, paper)]
    plain = [result for result in members if is_plain(result.traits)]
    switched = [result for result in members if not is_plain(result.traits)]
    groups = [FigureGroup(_slug(title, i), title, part, paper) for i, part in enumerate(_parts(plain, MOST))]
    judges = [result for result in plain if result.traits.get("descriptor") in ("rgb", "rgbtd")][:2]
    for part in _parts(switched, MOST - len(judges)):
        number = len(groups)
        groups.append(FigureGroup(_slug(title, number), f"{title}, switches", [*judges, *part], ()))
    return groups


def _parts(systems: Sequence[SystemResult], most: int) -> list[Sequence[SystemResult]]:
    return [systems[begin : begin + most] for begin in range(0, len(systems), most)]


def _paper(encoder_and_pooling: str) -> list[str]:
    """The paper's systems on images alone and with depth, of the same encoder and pooling, if it has them."""
    names = [f"{kind} + {encoder_and_pooling}" for kind in ("RGB", "RGBtD")]
    return [name for name in names if name in paper_tables.systems("sunny")]


def _slug(title: str, number: int = 0) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in title.lower()).split()
    return "_".join(["recall", *words, *([str(number + 1)] if number else [])])
