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

"""Links of the documentation lead somewhere, all pages are listed, and command lines name known options."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from scene_geo_loc.cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MADE_BY_THE_BUILD = DOCS / "api"
PAGES = sorted(
    page for page in (*ROOT.glob("*.md"), *DOCS.rglob("*.md")) if not page.is_relative_to(MADE_BY_THE_BUILD)
)
LINK = re.compile(r"\]\((?!https?://)([^)\s]*)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links_of(page: Path) -> list[tuple[Path, str]]:
    """The files and anchors that a page links to."""
    links = (link.partition("#") for link in LINK.findall(CODE.sub("", page.read_text())))
    return [((page.parent / file).resolve() if file else page, anchor) for file, _, anchor in links]


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = [
        f"{file}#{anchor}"
        for file, anchor in links_of(page)
        if not file.exists() or (anchor and anchor not in anchors_of(file))
    ]
    assert broken == []


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """The command lines in code blocks, each with the name of its page."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(r"^ {4,}(scene-geo-loc .+)$", text, re.MULTILINE):
            yield name_of(page), shlex.split(line, comments=True)[1:]


def unknown_options(words: list[str]) -> set[str]:
    """The options of a command line that its command does not have."""
    command: Any = get_command(app)
    words = list(words)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return {word.partition("=")[0] for word in words if word.startswith("--")} - known


@pytest.mark.parametrize(
    ("page", "words"), [pytest.param(*line, id=f"{line[0]}: {' '.join(line[1])}") for line in command_lines()]
)
def test_every_command_line_names_a_command_and_its_options(page: str, words: list[str]) -> None:
    assert unknown_options(words) == set()


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Runs the script of the full protocol with a command that only records its command lines."""
    program = tmp_path / "bin" / "scene-geo-loc"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\t" "$@" >> "$RECORD"\necho >> "$RECORD"\n')
    program.chmod(0o755)

    def run(**variables: str) -> list[list[str]]:
        record = tmp_path / "record.txt"
        record.unlink(missing_ok=True)
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            ["bash", ROOT / "scripts" / "full_protocol.sh", tmp_path / "work"],
            env={**os.environ, "PATH": path, "RECORD": str(record), **variables},
            check=True,
        )
        return [line.split("\t")[:-1] for line in record.read_text().splitlines()]

    return run


def test_the_script_of_the_full_protocol_trains_the_pair_and_measures_it(
    recorded: Callable[..., list[list[str]]],
) -> None:
    lines = recorded(SEEDS="0 1", WEIGHTS="alexnet.safetensors", PAGE="results.md")
    names = [words[0] if words[0] in ("simulate", "triplets") else " ".join(words[:2]) for words in lines]
    assert names == ["simulate", "triplets", *["train descriptor"] * 4, "benchmark descriptors"]
    assert [unknown_options(words) for words in lines] == [set()] * len(lines)
    systems = [words[words.index("--config") + 1] for words in lines if words[0] == "train"]
    assert systems == ["rgb_alexnet_mac", "rgbtd_alexnet_mac"] * 2
    assert all("full" in words and "alexnet.safetensors" in words for words in lines if words[0] == "train")


def test_the_script_of_the_full_protocol_keeps_its_triplets(
    recorded: Callable[..., list[list[str]]], tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "triplets.parquet").touch()
    assert "triplets" not in [words[0] for words in recorded()]


def test_every_page_can_be_reached_from_the_index() -> None:
    reached = {file for page in DOCS.rglob("README.md") for file, _ in links_of(page)}
    assert {page.resolve() for page in PAGES if DOCS in page.parents} <= reached | {(DOCS / "README.md")}


def test_the_picture_of_the_house_has_every_folder() -> None:
    picture = (DOCS / "images" / "house.svg").read_text()
    folders = {path.parent.name for path in (ROOT / "scene_geo_loc").glob("*/__init__.py")}
    assert set(re.findall(r'<text class="name"[^>]*>(\w+)</text>', picture)) == folders
