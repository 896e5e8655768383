"""All models that fit, run at a site's wish; and what each result says of why its model was chosen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iodeep.card import card_document, card_of_document, read_card
from iodeep.errors import ExitCode
from iodeep.inference import Engine
from iodeep.service.demonstration import write_placeholder
from iodeep.service.packing import pack_network
from iodeep.service.storing import dicom_files
from iodeep.settings import RunSettings
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive
from tests.end_to_end.conftest import HEAD, ROOT, CommandLine, FilledArchive
from tests.end_to_end.test_main_job import HEAD_SERIES, HEAD_STUDY
from tests.unit.model_object.models import flip_byte

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Site:
    """An archive with three models that fit the head series, one of them damaged, and what running them all gave."""

    url: str
    code: int
    runs: dict[str, Any]
    out: Path


def _pack(name: str, folder: Path, engine: Engine) -> Path:
    """A placeholder for the head, by a card like the knee's."""
    document = card_document(read_card(ROOT / "sample_data" / "others" / "mr-knee.yaml"))
    token = name.upper().replace(" ", "")
    document |= {"name": name, "token": token, "target": {"regions": ["HEAD"]}}
    card = card_of_document(document | {"inputs": [{"name": "image", "modality": "MR"}]}, name)
    write_placeholder(card, folder / "network")
    pack_network(folder / "network", card, folder / "object", engine)
    return folder / "object"


@pytest.fixture(scope="module")
def models(objects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The brain model, one that works, and one whose payload was altered after it was packed."""
    folder = tmp_path_factory.mktemp("models")
    with Engine(RunSettings()) as engine:
        working, damaged = _pack("Zz head light", folder / "a", engine), _pack("Aa head damaged", folder / "b", engine)
    (part,) = (path for path in damaged.rglob("*.dcm") if b"kernel" in path.read_bytes())
    flip_byte(part, part.read_bytes().index(b"kernel"))
    return [objects["BRAINMASK"], working, damaged]


@pytest.fixture
def site(models: list[Path], iodeep: CommandLine, tmp_path: Path) -> Iterator[Site]:
    with embedded_archive(tmp_path / "archive") as settings:
        with open_archive(settings) as opened:
            opened.store(dicom_files([*models, HEAD]))
        url = f"dicom://{settings.aet}@{settings.host}:{settings.port}"
        ended = iodeep("run", HEAD_SERIES, "--pacs", url, "--all-that-fit", "--out", tmp_path / "out", "--json")
        yield Site(url, ended.code, json.loads(ended.out), tmp_path / "out")


def names(runs: dict[str, Any]) -> set[str]:
    return {each["model"]["name"] for each in runs["results"]}


def test_one_that_fails_does_not_stop_the_others_and_the_exit_code_says_so(site: Site, iodeep: CommandLine) -> None:
    assert names(site.runs) == {"Brain extraction", "Zz head light"}
    assert all(each["stored"] for each in site.runs["results"])
    (failed,) = site.runs["failed"]
    assert failed["model"].startswith("Aa head damaged")
    assert failed["error"] == "IntegrityError"
    assert site.code == ExitCode.NOT_TRUSTED
    uids = [each[key] for each in site.runs["results"] for key in ("segmentation_uid", "report_uid")]
    assert len(set(uids)) == 4
    assert len(list(site.out.glob("*/overlay.png"))) == 2

    again = iodeep("run", HEAD_SERIES, "--pacs", site.url, "--all-that-fit", "--json")

    assert again.code == ExitCode.NOT_TRUSTED
    assert all(each["already_there"] for each in json.loads(again.out)["results"])
    assert [each["report_uid"] for each in json.loads(again.out)["results"]] == uids[1::2]


def test_a_result_says_why_its_model_was_chosen(site: Site, iodeep: CommandLine) -> None:
    brain, light = site.runs["results"]

    kept = [one["decision"] for one in _why(iodeep, site, HEAD_SERIES)]
    assert {one["chosen"] for one in kept} == {"Brain extraction 1.0.2", light["decision"]["chosen"]}
    for uid in (brain["report_uid"], brain["segmentation_uid"], f"{HEAD_STUDY}/{brain['segmentation_uid']}"):
        (one,) = _why(iodeep, site, uid)
        assert one["report_uid"] == brain["report_uid"]
    record = one["decision"]
    assert {each["model"] for each in record["candidates"]} >= {"Brain extraction 1.0.2"}
    assert record["candidates"] == brain["decision"]["candidates"]
    assert record["anatomy"] == brain["decision"]["anatomy"]
    assert "ranks 2 of 3" in record["notes"][-1]


def test_people_read_it_from_a_file_without_an_archive(site: Site, iodeep: CommandLine) -> None:
    ended = iodeep("why", site.out)

    assert ended.code == 0
    assert "Brain extraction 1.0.2, chosen for a result of" in ended.out
    assert "The model is for HEAD" in ended.out
    assert "Study Description: 'BRAIN' says BRAIN" in ended.out
    assert "rule    What a series shows has to be at least 55% sure." in ended.out


def _why(iodeep: CommandLine, site: Site, uid: str) -> list[dict[str, Any]]:
    ended = iodeep("why", uid, "--pacs", site.url, "--json")
    assert ended.code == 0, ended
    found: list[dict[str, Any]] = json.loads(ended.out)["results"]
    return found


def test_a_site_sets_it_and_how_many(fresh_archive: FilledArchive, models: list[Path], iodeep: CommandLine) -> None:
    with open_archive(fresh_archive.settings) as opened:
        opened.store(dicom_files(models[1:2]))
    Path("iodeep.toml").write_text('[selection]\nrun = "all"\nmost_models = 1\n')

    runs = json.loads(iodeep("run", HEAD, "--pacs", fresh_archive.url, "--dry-run", "--json").out)
    best = json.loads(iodeep("run", HEAD, "--pacs", fresh_archive.url, "--dry-run", "--best", "--json").out)

    assert names(runs) == {best["model"]["name"]}
    assert len(runs["left_out"]) == 1
    assert not runs["failed"]


def test_a_segmentation_that_is_lost_is_made_again_though_models_have_come_since(
    fresh_archive: FilledArchive, models: list[Path], iodeep: CommandLine, tmp_path: Path
) -> None:
    """The report that the archive holds keeps the record of its own run; no UID ever names two reports."""
    dry = iodeep("run", HEAD, "--pacs", fresh_archive.url, "--dry-run", "--out", tmp_path / "a", "--json")
    report = json.loads(dry.out)
    with open_archive(fresh_archive.settings) as opened:
        opened.store([tmp_path / "a" / f"{report['report_uid']}.dcm", *dicom_files(models[1:2])])

    ended = iodeep("run", HEAD, "--pacs", fresh_archive.url, "--json")

    assert ended.code == 0, ended
    assert json.loads(ended.out)["stored"]
    (kept,) = json.loads(iodeep("why", report["report_uid"], "--pacs", fresh_archive.url, "--json").out)["results"]
    assert kept["decision"]["looked_at"] == len(report["decision"]["candidates"])


def test_a_study_without_results_of_ours_says_so(archive: FilledArchive, iodeep: CommandLine, tmp_path: Path) -> None:
    ended = iodeep("why", HEAD, "--pacs", archive.url)

    assert ended.code == ExitCode.BAD_INPUT
    assert "no report about" in ended.err
