"""The C-FIND keys of the conformance statement are those that the commands send."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from iodeep.ports import Level
from iodeep.service.cli import main
from pacs_bridge.dimse import query
from pacs_bridge.embedded import embedded_archive
from pacs_bridge.matching import is_universal
from tests.docs.markdown import ROOT, table_rows
from tests.unit.model_object.models import pack_ensemble

HEAD = ROOT / "sample_data" / "mr-head"
SERIES = "0.0.0.0.3.8811.2.20010413115754.12432"
STUDY = "0.0.0.0.2.8811.20010413115754.12432"


@pytest.mark.slow
def test_the_keys_of_each_level_are_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = _recorded(monkeypatch)
    monkeypatch.setenv("IODEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    packed = pack_ensemble(tmp_path / "model")
    with embedded_archive(tmp_path / "archive") as archive:
        pacs = f"dicom://{archive.aet}@{archive.host}:{archive.port}"
        for words in (
            ("store", packed.folder, HEAD, "--to", pacs),
            ("models", "--pacs", pacs, "--anatomy", "HEAD"),
            ("show", packed.identity.sop_instance_uid, "--pacs", pacs),
            ("select", STUDY, "--pacs", pacs),
            ("run", SERIES, "--pacs", pacs),
            ("fetch", SERIES, "--pacs", pacs, "--out", "fetched"),
        ):
            monkeypatch.setattr(sys, "argv", ["iodeep", *map(str, words)])
            with pytest.raises(SystemExit):
                main()

    for level in Level:
        matched, returned = _stated(level)
        assert sent.matched[level] == matched
        assert sent.returned[level] - matched == returned


class _Sent:
    """Keywords by level: those sent with a value, and those sent empty."""

    def __init__(self) -> None:
        self.matched: dict[Level, set[str]] = defaultdict(set)
        self.returned: dict[Level, set[str]] = defaultdict(set)


def _recorded(monkeypatch: pytest.MonkeyPatch) -> _Sent:
    sent = _Sent()
    real = query._asked

    def asked(association: Any, level: Level, keys: Mapping[str, str]) -> Iterator[dict[str, str]]:
        for keyword, value in keys.items():
            (sent.returned if is_universal(value) else sent.matched)[level].add(keyword)
        return real(association, level, keys)

    monkeypatch.setattr(query, "_asked", asked)
    return sent


def _stated(level: Level) -> tuple[set[str], set[str]]:
    (cells,) = [cells for cells in table_rows(ROOT / "docs" / "conformance.md") if cells[0] == level.value]
    return _words(cells[1]), _words(cells[2])


def _words(cell: str) -> set[str]:
    return {word for word in cell.split(", ") if word}
