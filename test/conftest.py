"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data: SCENE_GEO_LOC_DATA, else shared/data beside the checkout."""
    named = os.environ.get("SCENE_GEO_LOC_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set SCENE_GEO_LOC_DATA")
    return folder
