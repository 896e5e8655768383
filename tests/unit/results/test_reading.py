"""A report of ours can be read back by its own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from iodeep.results import volumes_of_report
from tests.unit.results.test_report import volume_results


def test_a_report_says_the_volumes_that_went_into_it(tmp_path: Path) -> None:
    results = volume_results(tmp_path)

    read = volumes_of_report(results.report)

    assert len(read) > 1
    assert read == pytest.approx(results.volumes_ml, abs=0.001)


def test_a_foreign_document_says_no_volume() -> None:
    assert volumes_of_report(Dataset()) == {}
