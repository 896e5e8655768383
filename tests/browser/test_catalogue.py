"""The catalogue in a real browser: nothing is fetched, nothing breaks the pages' policy, nothing leads off the side."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from iodeep.selection import Candidate
from iodeep.service.exchange.catalogue import write_catalogue
from tests.browser.test_console import CHROMIUM, page
from tests.unit.model_object.models import pack_ensemble
from tests.unit.service.exchange.test_pages import hostile_candidate

__all__ = ["page"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


def test_the_pages_show_ahostile_candidate_card_as_text(page: Page, tmp_path: Path) -> None:
    candidate: Candidate = hostile_candidate(pack_ensemble(tmp_path / "packed"))
    write_catalogue([candidate], tmp_path / "out", "Our models")
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto((tmp_path / "out" / "index.html").as_uri())
        expect(page.locator("h1")).to_have_text("Our models")
        page.locator("article a").click()
        expect(page.locator("h1")).to_contain_text("<script>")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    assert wrong == []
    assert all(url.startswith(tmp_path.as_uri()) for url in asked)
