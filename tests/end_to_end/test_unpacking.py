"""A model leaves its object by the command line: verified first, whole or not at all, and the same when it comes back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from iodeep.model_object import read_descriptor
from iodeep.service.library import local_model
from tests.end_to_end.conftest import CommandLine, FilledArchive
from tests.unit.model_object.models import flip_byte
from tests.unit.trust.signing import key_files

pytestmark = pytest.mark.slow


def test_what_was_taken_out_of_an_archive_packs_to_the_same_model(
    iodeep: CommandLine, archive: FilledArchive, tmp_path: Path
) -> None:
    packed = read_descriptor(local_model(archive.objects["BRAINMASK"]).descriptor_path)
    out = tmp_path / "files"

    unpacked = iodeep("unpack", packed.study_instance_uid, "--pacs", archive.url, "--out", out, "--json")
    again = iodeep("pack", out, "--card", out / "card.yaml", "--out", tmp_path / "object")

    assert (unpacked.code, again.code) == (0, 0), unpacked.err + again.err
    assert json.loads(unpacked.out)["files"] == ["brain-extraction.onnx", "card.yaml"]
    repacked = read_descriptor(local_model(tmp_path / "object").descriptor_path)
    assert repacked.card == packed.card
    assert [(f.name, f.sha256) for f in repacked.manifest.files] == [(f.name, f.sha256) for f in packed.manifest.files]
    assert repacked.identity.device_uid == packed.identity.device_uid


def test_a_bundles_network_packs_to_the_same_model(iodeep: CommandLine, archive: FilledArchive, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"

    unpacked = iodeep("unpack", archive.objects["BRAINMASK"], "--as", "monai-bundle", "--strict", "--out", bundle)
    again = iodeep(
        "pack", bundle / "models" / "model.onnx", "--card", bundle / "card.yaml", "--out", tmp_path / "again"
    )

    assert (unpacked.code, again.code) == (0, 0), unpacked.err + again.err
    packed, repacked = (
        read_descriptor(local_model(folder).descriptor_path)
        for folder in (archive.objects["BRAINMASK"], tmp_path / "again")
    )
    assert repacked.identity.device_uid == packed.identity.device_uid


def test_what_does_not_hold_is_not_taken_out(iodeep: CommandLine, archive: FilledArchive, tmp_path: Path) -> None:
    damaged = tmp_path / "object"
    shutil.copytree(archive.objects["BRAINMASK"], damaged)
    flip_byte(damaged / "network-00001.dcm", -5000)

    ended = iodeep("unpack", damaged, "--out", tmp_path / "out", "--anyway")

    assert ended.code == 5
    assert "does not hold, so it is not taken out" in ended.err
    assert "was altered" in ended.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["object"]


def test_nothing_is_written_over(iodeep: CommandLine, archive: FilledArchive, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")

    ended = iodeep("unpack", archive.objects["BRAINMASK"], "--out", out)

    assert ended.code == 4
    assert "exists already" in ended.err
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_what_the_site_does_not_trust_leaves_only_when_somebody_answers(
    iodeep: CommandLine, archive: FilledArchive, tmp_path: Path
) -> None:
    _, public = key_files(tmp_path)
    (tmp_path / "iodeep.toml").write_text(
        f'[serve]\ndata = "{tmp_path / "data"}"\n[trust]\nresearch = true\nunsigned = "refuse"\n'
        f'[[trust.keys]]\nname = "us"\nfile = "{public}"\nroles = ["developer"]\n'
    )

    refused = iodeep("unpack", archive.objects["BRAINMASK"], "--out", tmp_path / "out")
    answered = iodeep("unpack", archive.objects["BRAINMASK"], "--out", tmp_path / "out", "--anyway")

    assert refused.code == 5
    assert "the site does not trust Brain extraction 1.0.2: it bears no signature" in " ".join(refused.err.split())
    assert answered.code == 0, answered.err
    assert "This site does not trust it" in answered.out


def test_what_monai_says_otherwise_is_told_and_refused_where_that_was_asked(
    iodeep: CommandLine, archive: FilledArchive, tmp_path: Path
) -> None:
    knee = archive.objects["KNEECART"]

    told = iodeep("unpack", knee, "--as", "monai-bundle", "--out", tmp_path / "out", "--json")
    strict = iodeep("unpack", knee, "--as", "monai-bundle", "--out", tmp_path / "strict", "--strict")

    assert told.code == 0, told.err
    unsaid = json.loads(told.out)["unsaid"]
    readme = (tmp_path / "out" / "docs" / "README.md").read_text()
    assert any("z_score" in each for each in unsaid)
    assert len(unsaid) == readme.split("## What this bundle does otherwise than the card")[1].count("\n- ")
    assert strict.code == 4
    assert "z_score" in strict.err
    assert not (tmp_path / "strict").exists()
