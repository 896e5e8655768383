"""The main job through the command line: what a user types, and what comes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.end_to_end.conftest import HEAD, IMAGES, ROOT, CommandLine, FilledArchive

HEAD_SERIES = "0.0.0.0.3.8811.2.20010413115754.12432"
HEAD_STUDY = "0.0.0.0.2.8811.20010413115754.12432"


def test_echo_says_who_answered(iodeep: CommandLine, archive: FilledArchive) -> None:
    ended = iodeep("echo", "--pacs", archive.url)

    assert ended.code == 0
    assert "answered in" in ended.out


def test_models_are_listed_with_what_they_are_for(iodeep: CommandLine, archive: FilledArchive) -> None:
    ended = iodeep("models", "--pacs", archive.url, "--json")

    listed = {row["name"]: row for row in json.loads(ended.out)["models"]}
    assert len(listed) == len(archive.objects)
    assert listed["Brain extraction"]["regions"] == ["HEAD"]
    assert listed["Brain extraction"]["payload_bytes"] > 8_000_000


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--modality", "CR"), {"Lung fields in chest radiographs"}),
        (("--anatomy", "LIVER"), {"Liver in CT"}),
        (("--disease", "GLIOMA"), {"Glioma in multi-sequence MR"}),
        (("--name", "brain"), {"Brain extraction"}),
        (("--name", "nothing of that name"), set()),
    ],
)
def test_models_can_be_narrowed(
    iodeep: CommandLine, archive: FilledArchive, options: tuple[str, ...], names: set[str]
) -> None:
    ended = iodeep("models", "--pacs", archive.url, *options, "--json")

    assert {row["name"] for row in json.loads(ended.out)["models"]} == names


@pytest.mark.parametrize(
    "subject",
    [HEAD, HEAD_SERIES, HEAD_STUDY, f"{HEAD_STUDY}/{HEAD_SERIES}"],
    ids=["folder", "series", "study", "study and series"],
)
def test_the_head_series_gets_the_brain_model(iodeep: CommandLine, archive: FilledArchive, subject: Path | str) -> None:
    ended = iodeep("select", subject, "--pacs", archive.url, "--json")

    decision = json.loads(ended.out)
    assert ended.code == 0
    assert decision["chosen"] == "Brain extraction 1.0.2"


def test_explain_gives_every_model_of_the_archive_its_reasons(iodeep: CommandLine, archive: FilledArchive) -> None:
    decision = json.loads(iodeep("select", HEAD, "--pacs", archive.url, "--explain", "--json").out)

    judged = {each["model"]: each for each in decision["candidates"]}
    assert len(judged) == len(archive.objects)
    liver = [each["sentence"] for each in judged["Liver in CT 2.1.0"]["requirements"] if not each["passed"]]
    assert any("CT" in sentence and "MR" in sentence for sentence in liver)


@pytest.mark.parametrize(
    ("image", "words"),
    [("monochrome2.dcm", ("shoulder",)), ("j2k.dcm", ("localizer",)), ("jpeg_lossless_sel1.dcm", ("localizer",))],
)
def test_a_shoulder_and_a_localizer_are_refused_with_the_reason(
    iodeep: CommandLine, archive: FilledArchive, image: str, words: tuple[str, ...]
) -> None:
    ended = iodeep("select", IMAGES / image, "--pacs", archive.url)

    assert ended.code == 3
    for word in words:
        assert word in ended.out.lower()


@pytest.fixture(scope="session")
def direct_mask(tmp_path_factory: pytest.TempPathFactory) -> sitk.Image:
    """What the network gives without IODeep: the script of 20 lines."""
    path = tmp_path_factory.mktemp("direct") / "mask.nrrd"
    subprocess.run([sys.executable, "scripts/direct_brain.py", str(path)], cwd=ROOT, check=True, capture_output=True)
    return sitk.ReadImage(str(path))


def test_run_writes_what_the_network_gives_when_run_directly(
    iodeep: CommandLine, fresh_archive: FilledArchive, direct_mask: sitk.Image, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    report = json.loads(iodeep("run", HEAD_SERIES, "--pacs", fresh_archive.url, "--out", out, "--json").out)

    (brain,) = report["segments"]
    assert 1200 <= brain["volume_ml"] <= 1400
    assert report["stored"]
    assert (out / "overlay.png").stat().st_size > 10_000

    fetched = iodeep("fetch", HEAD_STUDY, "--pacs", fresh_archive.url, "--out", tmp_path / "back", "--json")
    back = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): Path(path)
            for path in json.loads(fetched.out)["files"]}  # fmt: skip
    assert report["report_uid"] in back
    assert _dice(back[report["segmentation_uid"]], direct_mask) >= 0.995


def _dice(path: Path, direct: sitk.Image) -> float:
    """Dice between the SEG, each frame placed by its own position, and the mask of the direct run, placed by ITK."""
    segmentation = pydicom.dcmread(path)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    truth = sitk.GetArrayFromImage(direct)
    matched = 0
    for frame, mask in zip(segmentation.PerFrameFunctionalGroupsSequence, segmentation.pixel_array, strict=True):
        origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for r, c in np.argwhere(mask):
            point = origin + row * between_columns * c + column * between_rows * r
            i, j, k = direct.TransformPhysicalPointToIndex(point.tolist())  # type: ignore[no-untyped-call]
            matched += int(truth[k, j, i] > 0)
    return 2 * matched / int(segmentation.pixel_array.sum() + (truth > 0).sum())


def test_running_twice_stores_once(iodeep: CommandLine, fresh_archive: FilledArchive) -> None:
    first = json.loads(iodeep("run", HEAD_SERIES, "--pacs", fresh_archive.url, "--json").out)
    second = json.loads(iodeep("run", HEAD_SERIES, "--pacs", fresh_archive.url, "--json").out)

    assert first["stored"]
    assert second["already_there"]
    assert not second["stored"]
    assert second["segmentation_uid"] == first["segmentation_uid"]
    assert second["segments"][0]["volume_ml"] == pytest.approx(first["segments"][0]["volume_ml"], abs=0.001)


def test_a_run_that_failed_between_its_two_results_is_completed(
    iodeep: CommandLine, fresh_archive: FilledArchive, tmp_path: Path
) -> None:
    report = json.loads(
        iodeep("run", HEAD, "--pacs", fresh_archive.url, "--dry-run", "--out", tmp_path / "a", "--json").out
    )
    first = tmp_path / "a" / f"{report['segmentation_uid']}.dcm"
    assert iodeep("store", first, "--to", fresh_archive.url).code == 0

    again = json.loads(iodeep("run", HEAD, "--pacs", fresh_archive.url, "--json").out)
    held = json.loads(iodeep("fetch", HEAD_STUDY, "--pacs", fresh_archive.url, "--out", tmp_path / "b", "--json").out)
    read = {
        str(each.SOPInstanceUID): each
        for each in (pydicom.dcmread(path, stop_before_pixels=True) for path in held["files"])
    }

    assert again["stored"]
    segmentation, text = read[report["segmentation_uid"]], read[report["report_uid"]]
    assert segmentation.InstanceCreationTime == pydicom.dcmread(first).InstanceCreationTime
    assert text.InstanceCreationTime == segmentation.InstanceCreationTime


def test_a_dry_run_writes_to_the_folder_only(iodeep: CommandLine, archive: FilledArchive, tmp_path: Path) -> None:
    out = tmp_path / "dry"
    ended = iodeep("run", HEAD, "--pacs", archive.url, "--seg", "FRACTIONAL", "--dry-run", "--out", out, "--json")
    report = json.loads(ended.out)

    held = json.loads(iodeep("fetch", HEAD_STUDY, "--pacs", archive.url, "--out", tmp_path / "b", "--json").out)[
        "files"
    ]
    uids = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in held}
    assert ended.code == 0
    assert not report["stored"]
    assert len(list(out.glob("*.dcm"))) == 2
    assert report["segmentation_uid"] not in uids


def test_verify_checks_digests_structure_and_the_self_test(iodeep: CommandLine, archive: FilledArchive) -> None:
    ended = iodeep("verify", archive.objects["BRAINMASK"], "--json")

    verdict = json.loads(ended.out)
    assert ended.code == 0, ended
    assert verdict["holds"]
    assert {"structure", "self-test"} <= {check["subject"] for check in verdict["checks"]}


def test_a_model_is_shown_and_verified_by_its_uid(iodeep: CommandLine, archive: FilledArchive) -> None:
    rows = json.loads(iodeep("models", "--pacs", archive.url, "--name", "Brain", "--json").out)["models"]
    for uid in (rows[0]["study_instance_uid"], rows[0]["sop_instance_uid"]):
        shown = json.loads(iodeep("show", uid, "--pacs", archive.url, "--json").out)
        assert shown["card"]["name"] == "Brain extraction"
    assert iodeep("verify", rows[0]["study_instance_uid"], "--pacs", archive.url).code == 0


def test_doctor_finds_nothing_wrong_here(iodeep: CommandLine, archive: FilledArchive) -> None:
    ended = iodeep("doctor", "--pacs", archive.url, "--json")

    assert ended.code == 0, ended.out
    assert any("model objects" in finding["sentence"] for finding in json.loads(ended.out)["findings"])


def test_a_table_of_series_is_planned_row_by_row(iodeep: CommandLine, archive: FilledArchive, tmp_path: Path) -> None:
    series = tmp_path / "series.csv"
    series.write_text(
        "Modality,BodyPartExamined,StudyDescription,SeriesDescription\n"
        "MR,,MR Schädel,T1 axial\n"
        "CT,ABDOMEN,CT Abdomen,portalvenös\n"
        "CR,SHOULDER,,\n"
        "MR,,,\n"
    )
    page = tmp_path / "plan.html"

    lines = iodeep("select", "--table", series, "--models", archive.url, "--page", page, "--json").out.splitlines()
    decided = [json.loads(line) for line in lines]
    shown = iodeep("select", "--table", series, "--models", ROOT / "sample_data")

    assert [row["model"] for row in decided] == ["Brain extraction", "Liver in CT", None, None]
    assert all(row["reasons"] for row in decided)
    assert "<svg" in page.read_text() or "<html" in page.read_text()
    assert "4 series" in shown.out
