"""Every link in the documentation leads to a file and a heading that exist, and every page is listed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


def test_every_page_can_be_reached_from_the_index() -> None:
    reached = {file for page in DOCS.rglob("README.md") for file, _ in links_of(page)}
    assert {page.resolve() for page in PAGES if DOCS in page.parents} <= reached | {(DOCS / "README.md")}
