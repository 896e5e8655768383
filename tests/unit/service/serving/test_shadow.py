"""Results of trials have an archive of their own, or the service does not start; what runs is said at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iodeep.errors import SettingsError
from iodeep.service.api.problems import NotFoundError
from iodeep.service.api.state import archive_name
from iodeep.service.configuration import Configuration
from iodeep.service.serving.composition import folders_of
from iodeep.service.serving.models_told import check_trials, models_told
from iodeep.service.serving.shadow import is_shadow_archive, shadow_archive_of
from iodeep.settings import Settings, settings_of_document
from iodeep.trust.lifecycle import ModelState
from tests.unit.service.lifecycle.registers import approved, change, release
from tests.unit.service.lifecycle.test_opening import opened

MAIN = {"host": "10.0.0.1", "port": 104, "aet": "MAIN"}
RESEARCH = {"host": "10.0.0.2", "port": 104, "aet": "RESEARCH"}


def settings(shadow: str = "research", *, folder: Path | None = None, **changes: Any) -> Settings:
    document: dict[str, Any] = {
        "default_pacs": "main",
        "pacs": {"main": MAIN, "research": RESEARCH},
        "lifecycle": {"shadow_archive": shadow},
        **changes,
    }
    if folder is not None:
        document["serve"] = {"data": str(folder)}
    return settings_of_document(document, "test")


def test_a_research_archive_is_taken() -> None:
    assert shadow_archive_of(settings()) == "research"
    assert shadow_archive_of(settings("")) == ""
    assert shadow_archive_of(Settings()) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"lifecycle": {"shadow_archive": "main"}},
        {"serve": {"results_to": "research"}},
        {"serve": {"polls": [{"pacs": "research"}]}},
        {"pacs": {"main": MAIN, "research": MAIN | {"aet": "ANOTHER"}}},
        {"lifecycle": {"shadow_archive": "dicom://ANY@10.0.0.1:104"}},
        {"default_pacs": None, "pacs": {"research": RESEARCH}},
        {"pacs": {"main": MAIN | {"host": "localhost"}, "research": MAIN | {"host": "127.0.0.1"}}},
        {"pacs": {"main": {"dicomweb": "http://10.0.0.1/web/"}, "research": {"dicomweb": "HTTP://10.0.0.1:80/web"}}},
    ],
    ids=["default", "results", "polled", "same address", "as a url", "the only one", "another host name", "same web"],
)
def test_an_archive_of_clinical_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="is an archive of clinical work"):
        shadow_archive_of(settings(**changes))


def test_the_archive_of_trials_is_known_under_every_name_that_it_has() -> None:
    """Or whoever may look at archives would see in one of them what is hidden in the other."""
    two = settings(pacs={"main": MAIN, "research": RESEARCH, "cases": RESEARCH | {"aet": "CASES"}})
    as_url = settings("dicom://RESEARCH@10.0.0.2:104")

    assert [name for name in two.pacs if is_shadow_archive(two, name)] == ["research", "cases"]
    assert [name for name in as_url.pacs if is_shadow_archive(as_url, name)] == ["research"]
    assert not any(is_shadow_archive(settings(""), name) for name in two.pacs if name != "cases")
    with pytest.raises(NotFoundError, match="cases"):
        archive_name(two, "cases")


def test_a_model_on_trial_needs_the_archive(tmp_path: Path) -> None:
    with opened(tmp_path, skip_shadow=True) as register:
        approved(register, release())
        change(register, release(), ModelState.SHADOW)
    with_it, without = (settings(name, folder=tmp_path) for name in ("research", ""))
    for each in (with_it, without):
        configuration = Configuration(each, None, tmp_path / "cache")
        if each is with_it:
            check_trials(configuration, folders_of(configuration))
            assert any("with results to research alone: Brain 1 1.0.0" in line for line in told(configuration))
        else:
            with pytest.raises(SettingsError, match="have nowhere to go"):
                check_trials(configuration, folders_of(configuration))


def told(configuration: Configuration) -> list[str]:
    return list(models_told(configuration, folders_of(configuration)))


def test_the_start_says_what_runs_and_what_does_not(tmp_path: Path) -> None:
    configuration = Configuration(settings(folder=tmp_path), None, tmp_path / "cache")
    (nothing,) = told(configuration)
    assert "no model is approved" in nothing
    assert "iodeep approve" in nothing
    assert "required = false" in nothing

    with opened(tmp_path, skip_shadow=True) as register:
        approved(register, release(1))
        approved(register, release(2, "2.0.0"))
        change(register, release(2, "2.0.0"), ModelState.RETIRED)
    runs, not_run = told(configuration)
    assert "approved models run: Brain 1 1.0.0" in runs
    assert not_run == "not run: Brain 1 2.0.0 (retired)."


def test_a_site_that_asks_for_no_approval_is_told_so(tmp_path: Path) -> None:
    configuration = Configuration(settings(folder=tmp_path, lifecycle={"required": False}), None, tmp_path / "cache")

    (line,) = told(configuration)
    assert line.startswith("WARNING: models run that nobody has approved")
