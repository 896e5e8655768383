"""The examples of docs/selection.md are true."""

from __future__ import annotations

import doctest

import pytest

from tests.unit.selection.support import ROOT


def test_the_pages_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testfile(str(ROOT / "docs" / "selection.md"), module_relative=False, encoding="utf-8")

    assert tried > 10
    assert failed == 0
