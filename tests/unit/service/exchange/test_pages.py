"""Pages about models run nothing, fetch nothing, and show a card's words as words."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from iodeep.card import Performance, read_card
from iodeep.errors import InputError
from iodeep.model_object import PackedModel, read_descriptor
from iodeep.selection import Candidate, UnusableModel
from iodeep.service.exchange.card_page import card_page, card_text
from iodeep.service.exchange.catalogue import write_catalogue
from tests.unit.model_object.models import BRAIN_CARD, pack_ensemble

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    """Any model."""
    return pack_ensemble(tmp_path_factory.mktemp("packed"))


def _candidate(packed: PackedModel, **fields: object) -> Candidate:
    card = read_card(BRAIN_CARD).model_copy(update=fields)
    return Candidate(card, packed.identity, "here", 1000, packed.study_instance_uid)


def hostile_candidate(packed: PackedModel) -> Candidate:
    card = read_card(BRAIN_CARD)
    figure = Performance(metric=HOSTILE, value=0.9, low=0.8, high=0.95, test_set=HOSTILE, cases=3)
    use = card.intended_use.model_copy(update={"purpose": HOSTILE, "limits": (HOSTILE,), "users": HOSTILE})
    licence = card.licence.model_copy(update={"spdx": HOSTILE, "text": HOSTILE, "source": HOSTILE})
    return _candidate(packed, name=HOSTILE, summary=HOSTILE, intended_use=use, licence=licence, performance=(figure,))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def _tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page)
    return parser.seen


def test_what_a_card_says_is_shown_as_text(packed: PackedModel, tmp_path: Path) -> None:
    write_catalogue([hostile_candidate(packed)], tmp_path / "out", HOSTILE)

    for path in (tmp_path / "out").iterdir():
        tags = _tags(path.read_text(encoding="utf-8"))
        assert {tag for tag, _ in tags}.isdisjoint({"script", "img", "iframe", "object", "link", "base", "form"})
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on") or name == "style"]


def test_the_policy_lets_nothing_in_but_the_pages_own_style(packed: PackedModel) -> None:
    page = card_page(read_descriptor(packed.descriptor))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"url\(|@import|https?:", style)


def test_links_lead_to_the_models_pages_and_back(packed: PackedModel, tmp_path: Path) -> None:
    write_catalogue([_candidate(packed)], tmp_path / "out", "Ours")
    out = tmp_path / "out"
    (link,) = [a["href"] for tag, a in _tags((out / "index.html").read_text()) if tag == "a"]

    assert link is not None
    assert [a["href"] for tag, a in _tags((out / link).read_text()) if tag == "a"] == ["index.html"]


def test_what_cannot_be_used_or_is_not_trusted_is_left_out_and_named(packed: PackedModel, tmp_path: Path) -> None:
    distrusted = replace(_candidate(packed, name="Unsigned"), distrusted="nobody signed it")
    broken = UnusableModel("Broken", "1.2", "here", "damaged")

    published = write_catalogue([_candidate(packed), distrusted, broken], tmp_path / "out", "Ours")

    assert published.shown == 1
    assert published.left_out == ("Unsigned 1.0.2: nobody signed it", "Broken: damaged")
    assert "Unsigned" not in "".join(path.read_text() for path in (tmp_path / "out").iterdir())


def test_no_page_is_written_where_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model to show"):
        write_catalogue([UnusableModel("Broken", "1.2", "here", "damaged")], tmp_path / "out", "Ours")
    assert list(tmp_path.iterdir()) == []


def test_the_text_says_what_the_page_says(packed: PackedModel) -> None:
    descriptor = read_descriptor(packed.descriptor)

    for said in (
        descriptor.identity.manifest_sha256,
        descriptor.card.licence.spdx,
        *descriptor.card.intended_use.limits,
    ):
        assert said in card_text(descriptor)
        assert said in card_page(descriptor)
