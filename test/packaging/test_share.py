from __future__ import annotations

from pathlib import Path

from scene_geo_loc.share import share_folder


def test_in_a_checkout_the_files_are_beside_the_package(tmp_path: Path) -> None:
    (tmp_path / "package.xml").touch()
    assert share_folder(tmp_path / "scene_geo_loc") == tmp_path


def test_once_installed_the_files_are_under_share(tmp_path: Path) -> None:
    package = tmp_path / "lib" / "python3.12" / "site-packages" / "scene_geo_loc"
    assert share_folder(package) == tmp_path / "share" / "scene_geo_loc"


def test_the_folder_of_this_installation_has_the_parameter_files() -> None:
    assert list((share_folder() / "config").glob("*.yaml"))
