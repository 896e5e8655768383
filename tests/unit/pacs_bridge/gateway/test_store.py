"""STOW-RS: each instance is answered for, nothing is half stored in silence, and no body is larger than allowed."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread

from iodeep.errors import ArchiveError, ArchiveUnreachableError
from tests.unit.pacs_bridge.dicomweb.server import MULTIPART, multipart
from tests.unit.pacs_bridge.dimse_peer import raw_data, written
from tests.unit.pacs_bridge.gateway.conftest import ROOT, Site

STUDIES = f"{ROOT}/studies"


def _new(folder: Path, count: int = 2, study: str = "2.25.5") -> list[Path]:
    return [
        written(raw_data(study=study, series="2.25.6", number=n, PatientID="P9"), folder) for n in range(1, count + 1)
    ]


def _send(
    site: Site, body: bytes, url: str = STUDIES, kind: str = MULTIPART
) -> tuple[int, dict[str, dict[str, list[dict[str, dict[str, list[object]]]]]]]:
    answer = site.client.post(url, content=body, headers={"Content-Type": kind, "Accept": "application/dicom+json"})
    return answer.status_code, answer.json()


def test_what_is_stored_is_named_and_found(site: Site, tmp_path: Path) -> None:
    paths = _new(tmp_path / "new")
    status, document = _send(site, multipart(*paths))

    stored = {item["00081155"]["Value"][0] for item in document["00081199"]["Value"]}
    assert status == 200
    assert stored == {path.stem for path in paths}
    assert "00081198" not in document
    assert len(site.client.get(f"{STUDIES}/2.25.5/series/2.25.6/instances").json()) == 2
    assert list((site.cache / "sent").iterdir()) == []


def test_a_single_file_may_be_sent_bare(site: Site, tmp_path: Path) -> None:
    (path,) = _new(tmp_path / "new", 1)

    assert _send(site, path.read_bytes(), kind="application/dicom")[0] == 200


def test_one_that_the_archive_refuses_is_named_and_the_others_are_stored(site: Site, tmp_path: Path) -> None:
    good, bad = _new(tmp_path / "new")
    wrong = dcmread(bad).SOPInstanceUID

    def refuse(path: Path) -> None:
        if dcmread(path).SOPInstanceUID == wrong:
            raise ArchiveError("peer answered the C-STORE with 0xA700 (Out of Resources)")

    site.shelf.before_store = refuse
    status, document = _send(site, multipart(good, bad))

    (failed,) = document["00081198"]["Value"]
    assert status == 202
    assert (failed["00081155"]["Value"], failed["00081197"]["Value"]) == ([wrong], [0xA700])
    assert [item["00081155"]["Value"][0] for item in document["00081199"]["Value"]] == [good.stem]


def test_what_the_archive_accepts_and_loses_is_a_failure(site: Site, tmp_path: Path) -> None:
    site.shelf.lose = True
    status, document = _send(site, multipart(*_new(tmp_path / "new")))

    assert status == 409
    assert [item["00081197"]["Value"] for item in document["00081198"]["Value"]] == [[0x0110], [0x0110]]


def test_an_archive_that_is_down_is_503_and_may_be_tried_again(site: Site, tmp_path: Path) -> None:
    def down(_: Path) -> None:
        raise ArchiveUnreachableError("nothing answers")

    site.shelf.before_store = down
    site.shelf.find = lambda *_: down(Path())  # type: ignore[method-assign,assignment]
    answer = site.client.post(STUDIES, content=multipart(*_new(tmp_path / "n")), headers={"Content-Type": MULTIPART})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


def test_an_instance_of_another_study_is_refused(site: Site, tmp_path: Path) -> None:
    right, wrong = _new(tmp_path / "a", 1), _new(tmp_path / "b", 1, study="2.25.9")
    status, document = _send(site, multipart(*right, *wrong), f"{STUDIES}/2.25.5")

    assert status == 202
    assert document["00081198"]["Value"][0]["00081197"]["Value"] == [0xA900]


def test_a_part_that_is_no_dicom_file_is_told(site: Site, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not DICOM")

    assert _send(site, multipart(garbage))[0] == 400
    status, document = _send(site, multipart(garbage, *_new(tmp_path / "new", 1)))
    assert (status, len(document["0008119A"]["Value"])) == (202, 1)


def test_of_a_body_that_is_cut_off_nothing_is_stored(site: Site, tmp_path: Path) -> None:
    status, _ = _send(site, multipart(*_new(tmp_path / "new"), closed=False))

    assert status == 400
    assert site.shelf.asked["store"] == 0


def test_a_body_that_is_too_large_is_refused_announced_or_not(site: Site) -> None:
    announced = site.client.post(STUDIES, content=b"x" * (1 << 21), headers={"Content-Type": MULTIPART})
    streamed = site.client.post(
        STUDIES, content=(b"x" * (1 << 16) for _ in range(32)), headers={"Content-Type": "application/dicom"}
    )

    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert list((site.cache / "sent").glob("*/*")) == []


def test_other_media_types_are_refused(site: Site) -> None:
    for kind in ("application/dicom+json", "multipart/related; type=image/jpeg; boundary=x", "text/plain"):
        assert _send(site, b"--x--", kind=kind)[0] == 415
