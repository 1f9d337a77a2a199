"""Results on the terminal."""

from __future__ import annotations

import pytest

from scene_geo_loc.cli.results.poses import print_reasons, print_retrieval
from scene_geo_loc.metrics.pose_error import LOCALIZED, QueryRecord
from scene_geo_loc.metrics.published.bmvc2019 import MedianErrors


def test_reasons_that_differ_in_numbers_only_are_counted_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = ["Only 2.1% agree.", "Too dark.", "Only 4% agree.", "Only 12.5% agree."]
    records = [QueryRecord(i, "lost", None, reason=reason) for i, reason in enumerate(reasons)]
    print_reasons([*records, QueryRecord(9, LOCALIZED, None)])
    assert capsys.readouterr().out.splitlines() == [
        "Not localized, 3 like this: Only 2.1% agree.",
        "Not localized, 1 like this: Too dark.",
    ]


def test_where_half_of_the_queries_retrieve_nothing_their_distance_is_a_dash(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_retrieval(MedianErrors("Retrieved", None, None))
    assert capsys.readouterr().out == "The keyframe retrieved for a query is – m and –° away (median).\n"
    print_retrieval(MedianErrors("Retrieved", 1.234, 5.67))
    assert "1.23 m and 5.7° away" in capsys.readouterr().out
