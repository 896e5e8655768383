"""The pages hold together: links lead somewhere, examples parse, every page can be reached."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from iodeep.settings import settings_of_document
from tests.docs.markdown import PAGES, ROOT, Block, anchors, blocks, links

OUTSIDE = ("http://", "https://", "mailto:")


def _all(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, *languages)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for link in links(page):
        if link.startswith(OUTSIDE):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link} leaves the project"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}; there are {sorted(anchors(target))}"


def test_the_index_names_every_page() -> None:
    named = {(ROOT / "docs" / link.partition("#")[0]).resolve() for link in links(ROOT / "docs" / "index.md")}

    assert {page for page in (ROOT / "docs").glob("*.md") if page.name != "index.md"} <= named


@pytest.mark.parametrize("block", _all("toml"), ids=str)
def test_toml_examples_are_settings(block: Block) -> None:
    settings_of_document(tomllib.loads(block.text), str(block))


@pytest.mark.parametrize("block", [*_all("yaml", "yml", "json")], ids=str)
def test_yaml_and_json_examples_parse(block: Block) -> None:
    assert (json.loads if block.language == "json" else yaml.safe_load)(block.text) is not None


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "overlay.png").stat().st_size < 400_000
