"""From one hospital's archive to another's by the command line: on media, encrypted, directly; and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from iodeep.model_object import read_descriptor
from iodeep.service.library import local_model
from iodeep.service.storing import dicom_files
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive
from tests.end_to_end.conftest import HEAD, CommandLine, FilledArchive
from tests.end_to_end.test_main_job import HEAD_SERIES
from tests.unit.model_object.models import edit, flip_byte
from tests.unit.trust.signing import key_files

pytestmark = pytest.mark.slow


@pytest.fixture
def other(tmp_path: Path) -> Iterator[str]:
    """The other hospital's archive: it has the head series, and no model."""
    with embedded_archive(tmp_path / "other", aet="OTHER") as settings:
        with open_archive(settings) as opened:
            opened.store(dicom_files([HEAD]))
        yield f"dicom://{settings.aet}@{settings.host}:{settings.port}"


def _study(archive: FilledArchive) -> str:
    return _shown(archive)["study_instance_uid"]


def _shown(archive: FilledArchive) -> dict[str, str]:
    descriptor = read_descriptor(local_model(archive.objects["BRAINMASK"]).descriptor_path)
    return {
        "study_instance_uid": descriptor.study_instance_uid,
        "manifest_sha256": descriptor.identity.manifest_sha256,
    }


def _runs(iodeep: CommandLine, pacs: str, out: Path) -> None:
    ended = iodeep("run", HEAD_SERIES, "--pacs", pacs, "--out", out)
    assert ended.code == 0, ended.err + ended.out


def test_a_model_goes_on_media_is_verified_there_and_runs(
    iodeep: CommandLine, archive: FilledArchive, other: str, tmp_path: Path
) -> None:
    study = _study(archive)

    exported = iodeep("export", study, "--pacs", archive.url, "--out", tmp_path / "brain.zip", "--json")
    assert exported.code == 0, exported.err
    imported = iodeep("import", tmp_path / "brain.zip", "--to", other, "--accept-licence", "MIT", "--json")
    assert imported.code == 0, imported.err + imported.out
    verified = iodeep("verify", study, "--pacs", other, "--json")

    told = json.loads(imported.out)
    assert told["manifest_sha256"] == json.loads(exported.out)["manifest_sha256"] == _shown(archive)["manifest_sha256"]
    assert (told["instances"], told["held_before"]) == (2, 0)
    assert json.loads(verified.out)["holds"] is True
    _runs(iodeep, other, tmp_path / "results")


def test_a_model_is_sent_and_a_second_time_nothing_is(
    iodeep: CommandLine, archive: FilledArchive, other: str, tmp_path: Path
) -> None:
    study = _study(archive)

    first = iodeep("send", study, "--from", archive.url, "--to", other, "--json")
    again = iodeep("send", study, "--from", archive.url, "--to", other, "--json")

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert json.loads(first.out)["held_before"] == 0
    assert json.loads(again.out)["held_before"] == json.loads(again.out)["instances"] == 2
    _runs(iodeep, other, tmp_path / "results")


def test_an_encrypted_model_opens_with_the_receivers_key(
    iodeep: CommandLine, archive: FilledArchive, other: str, tmp_path: Path
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    sealed = tmp_path / "brain.zip.age"
    folder = archive.objects["BRAINMASK"]

    exported = iodeep("export", folder, "--out", sealed, "--encrypt-to", tmp_path / "key.pub")
    assert exported.code == 0, exported.err
    without = iodeep("import", sealed, "--to", other, "--accept-licence", "MIT")
    opened = iodeep("import", sealed, "--to", other, "--accept-licence", "MIT", "--key", tmp_path / "key")

    assert without.code == 4
    assert "--key" in without.err
    assert opened.code == 0, opened.err
    assert "2 instances of the model are in OTHER" in opened.out


@pytest.mark.parametrize("what", ["part", "card", "tag", "missing"])
def test_tampered_media_are_refused_and_nothing_is_stored(
    what: str, iodeep: CommandLine, archive: FilledArchive, other: str, tmp_path: Path
) -> None:
    media = tmp_path / "media"
    assert iodeep("export", archive.objects["BRAINMASK"], "--out", media).code == 0
    part = media / "PT000000" / "ST000000" / "SE000000" / "RW000000"
    descriptor = local_model(media).descriptor_path
    if what == "part":
        flip_byte(part, -5000)
    elif what == "card":
        flip_byte(descriptor, descriptor.read_bytes().index(b"For research") + 2)
    elif what == "tag":
        edit(descriptor, lambda dataset: setattr(dataset, "PatientID", "AIM1.CT.CHEST.ANY.BRAINMASK"))
    else:
        part.unlink()

    ended = iodeep("import", media, "--to", other, "--accept-licence", "MIT")

    said = {"part": "was altered", "card": "was altered", "tag": "PatientID", "missing": "RW000000 is missing"}
    assert ended.code == 5, ended.err + ended.out
    assert said[what] in ended.err + ended.out
    assert json.loads(iodeep("models", "--pacs", other, "--json").out)["models"] == []


def test_nothing_is_stored_that_nobody_accepted(
    iodeep: CommandLine, archive: FilledArchive, other: str, tmp_path: Path
) -> None:
    folder = archive.objects["BRAINMASK"]

    unasked = iodeep("import", folder, "--to", other)
    wrong = iodeep("import", folder, "--to", other, "--accept-licence", "GPL-3.0-only")

    assert (unasked.code, wrong.code) == (4, 4)
    assert "For research; not for diagnosis." in unasked.out
    assert "expected MIT; found GPL-3.0-only" in wrong.err
    assert json.loads(iodeep("models", "--pacs", other, "--json").out)["models"] == []


def test_the_catalogue_shows_what_the_archive_has(iodeep: CommandLine, archive: FilledArchive, tmp_path: Path) -> None:
    ended = iodeep("catalogue", "--pacs", archive.url, "--out", tmp_path / "pages", "--title", "Ours", "--json")

    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["models"] == len(archive.objects)
    assert len(list((tmp_path / "pages").iterdir())) == len(archive.objects) + 1
    assert "Brain extraction" in (tmp_path / "pages" / "index.html").read_text()


def test_a_network_with_a_patients_name_is_not_packed_unless_somebody_answers(
    iodeep: CommandLine, tmp_path: Path
) -> None:
    brain = HEAD.parent / "brain"
    model = onnx.load(brain / "brain-extraction.onnx")
    model.doc_string = "fine-tuned on MUELLER^ANNA"
    folder = tmp_path / "network"
    shutil.copytree(brain, folder)
    onnx.save(model, folder / "brain-extraction.onnx")
    arguments = ("pack", folder, "--card", brain / "card.yaml", "--out", tmp_path / "object")

    refused = iodeep(*arguments)
    assert refused.code == 4
    assert "the doc string of brain-extraction.onnx holds what looks like a person's name" in refused.err
    assert not (tmp_path / "object").exists()
    answered = iodeep(*arguments, "--despite-privacy", "a made-up name")
    assert answered.code == 0, answered.err
    assert "a made-up name" in iodeep("show", tmp_path / "object").out


def test_a_model_that_the_site_does_not_trust_is_not_stored(
    iodeep: CommandLine, archive: FilledArchive, other: str, tmp_path: Path
) -> None:
    _, public = key_files(tmp_path)
    (tmp_path / "iodeep.toml").write_text(
        f'[serve]\ndata = "{tmp_path / "data"}"\n[trust]\nresearch = true\nunsigned = "refuse"\n'
        f'[[trust.keys]]\nname = "us"\nfile = "{public}"\nroles = ["developer"]\n'
    )

    ended = iodeep("import", archive.objects["BRAINMASK"], "--to", other, "--accept-licence", "MIT")

    assert ended.code == 5, ended.err + ended.out
    assert "Nothing was stored" in ended.out
    assert "no signature" in ended.out
    assert json.loads(iodeep("models", "--pacs", other, "--json").out)["models"] == []
