"""Where the launch and parameter files are that come with the package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def share_folder(package: Path = PACKAGE) -> Path:
    """The folder that holds `config/` and `launch/`: the checkout, or what colcon or pip installed.

    Args:
        package: the Python package, `PREFIX/lib/pythonX.Y/site-packages/scene_geo_loc` once installed.
    """
    checkout = package.parent
    if (checkout / "package.xml").is_file():
        return checkout
    return package.parents[3] / "share" / package.name
