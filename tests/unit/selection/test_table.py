"""A site's list of series: a decision a row, in order, and a page that adds them up."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from iodeep.errors import InputError
from iodeep.selection import (
    Candidate,
    UnusableModel,
    candidates_in_folder,
    decide_table,
    summary_of,
    summary_page,
)
from tests.unit.selection.support import BRAIN_CARD, make_card, models, packed

ROWS = """collection,Modality,BodyPartExamined,StudyDescription,SeriesDescription,n_series
a,MR,BRAIN,MR BRAIN,t1,3
a,CT,,CT ABDOMEN,Topogram,1
a,CT,,"CT LIVER, 3 PHASE",venous,1
a,MG,,,,1
a,MR,KNEE,MR BRAIN,t1,2
a,MR,,,t1,2
a,MR,BRAIN,MR BRAIN,t1,3
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "series.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


def test_a_document_a_row_in_the_tables_order(table: Path) -> None:
    documents = list(decide_table(table, models()))

    assert [document["row"] for document in documents] == [1, 2, 3, 4, 5, 6, 7]
    assert [document["model"] for document in documents] == [
        "Brain extraction", None, "Liver CT", None, None, None, "Brain extraction"
    ]  # fmt: skip
    assert [document["refused_for"] for document in documents] == [
        None, "series", None, "modality", "region uncertain", "region unknown", None
    ]  # fmt: skip
    assert documents[0]["regions"] == ["HEAD"]
    assert documents[0]["organ"] == "BRAIN"
    assert 0.5 < documents[0]["confidence"] <= 1
    assert all(document["reasons"] for document in documents)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_columns_may_be_parted_by_semicolons_or_tabs_and_come_in_any_order(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "series.csv"
    lines = [["SeriesDescription", "Modality", "StudyDescription"], ["t1", "MR", "MR BRAIN"], ["", "CT"]]
    path.write_text("\n".join(delimiter.join(line) for line in lines), encoding="utf-8-sig")

    assert [document["model"] for document in decide_table(path, models())] == ["Brain extraction", None]


def test_a_file_that_is_no_table_of_series_says_which_columns_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")

    with pytest.raises(InputError, match="BodyPartExamined"):
        list(decide_table(path, models()))
    with pytest.raises(InputError, match="cannot be read"):
        list(decide_table(tmp_path / "missing.csv", models()))


def test_the_same_table_gives_the_same_documents(table: Path) -> None:
    assert list(decide_table(table, models())) == list(decide_table(table, models()[::-1]))


def test_a_folder_holds_objects_or_bare_cards(tmp_path: Path) -> None:
    packed(tmp_path / "object", make_card("Liver CT", "CT", "LIVER"))
    (tmp_path / "card.yaml").write_bytes(BRAIN_CARD.read_bytes())
    (tmp_path / "bad.yaml").write_text("name: [", encoding="utf-8")
    (tmp_path / "readme.txt").write_text("nothing", encoding="utf-8")

    found = candidates_in_folder(tmp_path)

    assert {each.name for each in found if isinstance(each, Candidate)} == {"Brain extraction 1.0.2", "Liver CT 1.0.2"}
    assert [each.name for each in found if isinstance(each, UnusableModel)] == ["bad.yaml"]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no model"):
        candidates_in_folder(tmp_path)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_adds_up_and_fetches_nothing(table: Path) -> None:
    summary = summary_of(decide_table(table, models()))
    page = Page()
    page.feed(summary_page(summary, "Series of <2026>"))

    assert sum(summary.taken.values()) + sum(summary.refused.values()) == summary.rows == 7
    assert summary.as_document()["taken"] == {"Brain extraction": 2, "Liver CT": 1}
    assert "Series of <2026>" in page.text
    assert "(42.9%)" in page.text
    assert all(link.startswith("#") for link in page.links)
    assert "script" not in page.tags
