"""The planning page adds up, groups what is left over by its cause, and fetches and runs nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from iodeep.selection import Summary, summary_page
from iodeep.selection.summary import _MOST_DISTINCT, OTHERS
from iodeep.selection.summary_causes import cause_of


class Page(HTMLParser):
    """Tags with their attributes, and the page's text without its style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += f"{data} "

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def document(model: str | None, cause: str | None = None, region: str = "CHEST", **more: Any) -> dict[str, Any]:
    """A row's document as the table's judge gives it."""
    reasons = [f"because of {cause}"] if cause else ["it fits"]
    known = {"regions": [region], "shown": region, "also_fits": [], "reasons": reasons}
    return {**known, "model": model, "refused_for": cause, **more}


def row(series: str, modality: str = "CT") -> dict[str, str]:
    return {"Modality": modality, "BodyPartExamined": "", "StudyDescription": "CT", "SeriesDescription": series}


@pytest.fixture
def summary() -> Summary:
    made = Summary()
    for _ in range(3):
        made.add(document("Lung <finder>"), row("lung 1.0"))
    made.add(document(None, "region", "KNEE"), row("knee", "MR"))
    for text in ("scout", "scout", "<script>alert(1)</script>"):
        made.add(document(None, "series"), row(text))
    made.add(document("Liver", region="ABDOMEN", also_fits=["Lung <finder>"]), row("liver"))
    return made


def test_the_figures_add_up(summary: Summary) -> None:
    told = Page(summary_page(summary, "list.csv")).text

    assert re.search(r"series in the list\s+8", told)
    assert re.search(r"4\s+\(50\.0%\)", told)
    assert sum(summary.taken.values()) + sum(summary.refused.values()) == summary.rows == 8
    assert summary.as_document()["refused"] == {"series": 3, "region": 1}


def test_what_is_left_over_is_grouped_by_cause_with_advice_and_the_most_frequent_words_first(summary: Summary) -> None:
    told = Page(summary_page(summary, "list.csv")).text
    details = told[told.index("What is left over, and what can be done") :]

    assert details.index(cause_of("series").title) < details.index(cause_of("region").title)
    assert cause_of("series").advice in details
    assert details.index("scout") < details.index("alert(1)")
    assert "because of series" in details
    assert re.search(r"CT 3; CHEST 3", details)


def test_nothing_in_the_page_is_fetched_or_run(summary: Summary) -> None:
    text = summary_page(summary, "<b>list</b>.csv")
    page = Page(text)

    assert not page.named("script")
    assert not page.named("link")
    assert not page.named("img")
    assert not page.named("b") or all("style" in each for each in page.named("b"))
    assert all((each["href"] or "").startswith("#") for each in page.named("a"))
    assert "url(" not in text
    assert "@import" not in text
    policies = [each["content"] for each in page.named("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_everything_can_be_read_without_seeing_the_charts(summary: Summary) -> None:
    page = Page(summary_page(summary, "list.csv"))
    headings = [name for name, _ in page.tags if re.fullmatch("h[1-6]", name)]

    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    assert all(int(after[1]) - int(before[1]) <= 1 for before, after in pairwise(headings))
    assert len(page.named("caption")) == len(page.named("table"))
    assert all(each.get("scope") in {"col", "row"} for each in page.named("th"))
    charts = [each for each in page.named("div") if each.get("class") in {"track", "split"}]
    assert charts
    assert all(each.get("aria-hidden") == "true" for each in charts)


def test_every_link_leads_somewhere(summary: Summary) -> None:
    page = Page(summary_page(summary, "list.csv"))
    anchors = [attributes["id"] for _, attributes in page.tags if "id" in attributes]

    assert len(anchors) == len(set(anchors))
    assert {(each["href"] or "").removeprefix("#") for each in page.named("a")} == set(anchors)


def test_an_empty_list_and_one_that_is_taken_whole_have_pages_too() -> None:
    assert "No model would be run" in summary_page(Summary(), "empty.csv")
    whole = Summary()
    whole.add(document("Lung"), row("lung"))

    assert "Every series would get a model" in summary_page(whole, "list.csv")


def test_the_same_counts_in_another_order_give_the_same_page() -> None:
    rows = [
        (document(None, "region", "KNEE"), row("b")),
        (document(None, "series"), row("a")),
        (document("M"), row("c")),
    ]
    pages = set()
    for order in (rows, rows[::-1]):
        made = Summary()
        for each, words in order:
            made.add(each, words)
        pages.add(summary_page(made, "list.csv"))

    assert len(pages) == 1


def test_memory_is_bounded_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iodeep.selection.summary._MOST_DISTINCT", 5)
    made = Summary()
    for number in range(12):
        made.add(document(None, "region"), row(f"series {number}"))

    group = made.causes["region"]
    assert len(group.descriptions) == 6
    assert group.descriptions[OTHERS] == 7
    assert sum(group.descriptions.values()) == 12
    assert _MOST_DISTINCT > 1_000


def test_text_stands_out_from_its_ground_in_light_and_dark() -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for what a chart shows."""
    style = summary_page(Summary(), "list.csv").partition("<style>")[2]
    palettes = [dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", block)) for block in style.split("@media")[:2]]
    assert len(palettes) == 2
    for colours in palettes:
        for ground in ("page", "card", "soft"):
            assert _contrast(colours["ink"], colours[ground]) >= 7
            assert _contrast(colours["muted"], colours[ground]) >= 4.5
        for name in ("taken", "left"):
            assert _contrast(colours[name], colours["card"]) >= 4.5
            assert _contrast(colours[name], colours["track"]) >= 3
        for place in range(1, 7):
            assert _contrast(colours[f"m{place}"], colours["card"]) >= 3


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
