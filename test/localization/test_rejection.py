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

"""Each reason for a rejection has one sentence, with its number and its limit."""

from __future__ import annotations

import pytest

from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind


@pytest.mark.parametrize("kind", RejectionKind)
def test_every_kind_has_a_sentence(kind: RejectionKind) -> None:
    sentence = str(Rejection(kind, 0.081, 0.13, "The image is empty."))
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert "{" not in sentence


def test_the_number_stands_against_its_limit() -> None:
    assert "8.1 % < 13 %" in str(Rejection(RejectionKind.INLIER_RATIO, 0.081, 0.13))
    assert "Inliers 12 < 30" in str(Rejection(RejectionKind.INLIERS, 12, 30))
    assert "12.5 % < 50 %" in str(Rejection(RejectionKind.COVERAGE, 0.125, 0.5))
