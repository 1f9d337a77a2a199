"""Bags for several tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from drive import write_drive


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag with images, camera_info, ground truth and depth."""
    return write_drive(tmp_path_factory.mktemp("drives") / "drive", depth=True)
