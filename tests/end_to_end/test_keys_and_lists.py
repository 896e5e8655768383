"""Keys in tokens, time stamps, lists of what is revoked in archives, and self-tests by hand: by the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from iodeep.model_object import ObjectKind, SelfTest, assemble, pack_model, read_descriptor, read_signature, recognise
from iodeep.service.jobs.kept_board import open_board
from iodeep.service.signing import write_new_key
from tests.end_to_end.conftest import CommandLine, FilledArchive
from tests.unit.trust.softhsm import PIN, make_ed25519, soft_token
from tests.unit.trust.time_authority import TimeAuthority, answering

pytestmark = pytest.mark.slow


def settle(folder: Path, archive: FilledArchive, *more: str) -> Path:
    """Settings of a site with the archive."""
    main = archive.settings
    lines = (
        f'[pacs.main]\nhost = "{main.host}"\nport = {main.port}\naet = "{main.aet}"',
        f'[serve]\ndata = "{folder / "data"}"\n[run]\nthreads = 1',
        *more,
    )
    path = folder / "iodeep.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_key_in_a_token_signs_with_a_time_stamp(
    iodeep: CommandLine, archive: FilledArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IODEEP_PKCS11_PIN", PIN)
    shutil.copytree(archive.objects["BRAINMASK"], tmp_path / "object")
    authority = TimeAuthority(tmp_path / "authority").make()
    with soft_token(tmp_path) as token, answering(authority) as url:
        make_ed25519(token, "developer", b"\x01")
        config = settle(tmp_path, archive, f'[trust]\npkcs11_module = "{token.module}"')
        arguments = ("--key", token.uri("developer"), "--role", "developer", "--timestamp", url, "--config", config)
        ended = iodeep("sign", tmp_path / "object", *arguments)
        refused = iodeep("sign", tmp_path / "object", "--key", "pkcs11:object=a?pin-value=1234", "--role", "developer")

    assert ended.code == 0, ended.err
    assert "time-stamped by http://127.0.0.1" in ended.out
    (path,) = (each for each in (tmp_path / "object").iterdir() if recognise(each).kind is ObjectKind.SIGNATURE)
    assert read_signature(path).timestamp
    assert refused.code == 4
    assert PIN not in ended.out + ended.err
    assert "1234" not in refused.out + refused.err


def test_a_list_goes_by_an_archive_or_a_file_to_a_site_that_asks_its_issuer(
    iodeep: CommandLine, archive: FilledArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IODEEP_KEY_PASSPHRASE", "correct horse battery staple")
    public = write_new_key(tmp_path / "office.pem", "correct horse battery staple")
    write_new_key(tmp_path / "stranger.pem", "correct horse battery staple")
    (tmp_path / "issuer").mkdir()
    theirs = ("--list", tmp_path / "issuer" / "list.json", "--key", tmp_path / "office.pem")
    config = settle(tmp_path, archive, f'[trust.revocation]\nkey = "{public}"\nfile = "{tmp_path / "ours.json"}"')

    first = iodeep("revoke", *theirs)
    shutil.copy(tmp_path / "issuer" / "list.json", tmp_path / "old.json")
    by_file = iodeep("revoke", "--import", tmp_path / "old.json", "--config", config)
    stored = iodeep("revoke", "a" * 40, *theirs, "--days", "30", "--store", "main", "--config", config, "--json")
    by_archive = iodeep("revoke", "--import", "main", "--config", config)
    again = iodeep("revoke", "--import", "main", "--config", config)
    iodeep("revoke", "--list", tmp_path / "strange.json", "--key", tmp_path / "stranger.pem")
    strange = iodeep("revoke", "--import", tmp_path / "strange.json", "--config", config)

    assert first.code == 0, first.err
    assert "is taken over" in by_file.out, by_file.err
    assert json.loads(stored.out)["sop_instance_uid"].startswith("2.25.")
    assert "is taken over" in by_archive.out
    assert "is no newer" in again.out
    assert "a" * 40 in (tmp_path / "ours.json").read_text()
    assert strange.code == 4
    assert "is of an issuer that this site does not ask" in " ".join(strange.err.split())


@pytest.mark.parametrize(
    "arguments", [(), ("--list", "x.json"), ("--import", "x", "--store", "main"), ("--import", "y")]
)
def test_a_list_that_is_not_said_how_to_make_is_refused(
    iodeep: CommandLine, archive: FilledArchive, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ended = iodeep("revoke", *arguments, "--config", settle(tmp_path, archive))
    assert ended.code in (4, 8)


def test_self_tests_by_hand_are_told_and_kept_where_a_service_has_its_data(
    iodeep: CommandLine, archive: FilledArchive, tmp_path: Path
) -> None:
    config = settle(tmp_path, archive)
    alone = iodeep("self-test", archive.objects["BRAINMASK"], "--config", config)
    (tmp_path / "data").mkdir()
    board = open_board(f"sqlite:///{tmp_path}/data/jobs.sqlite", batch_delay_s=1, dead_after_s=1)
    by_uid = iodeep(
        "self-test",
        read_descriptor(archive.objects["BRAINMASK"] / "descriptor.dcm").study_instance_uid,
        "--all",
        "--config",
        config,
        "--json",
    )
    failing = iodeep("self-test", wrong(archive.objects["BRAINMASK"], tmp_path), "--config", config)
    failed = board.failed_self_tests()
    status = iodeep("status", "--config", config)
    board.close()

    assert alone.code == 0, alone.err
    assert "Not kept" in alone.out
    told = json.loads(by_uid.out)
    assert told["kept"]
    assert [(each["provider"], each["passed"]) for each in told["results"]] == [("cpu", True), ("cpu-plain", True)]
    assert failing.code == 5
    assert "Dice coefficient" in failing.out
    assert len(failed) == 1
    assert "is not run on" in status.out


def wrong(original: Path, folder: Path) -> Path:
    """The model with a self-test that expects the opposite."""
    descriptor = read_descriptor(original / "descriptor.dcm")
    (folder / "files").mkdir()
    files = assemble(descriptor, [original], folder / "files")
    test = descriptor.self_test
    assert test is not None
    assert test.labels is not None
    opposite = SelfTest(inputs=test.inputs, labels=(test.labels == 0).astype(test.labels.dtype))
    return pack_model(descriptor.card, files, folder / "wrong", self_test=opposite).folder
