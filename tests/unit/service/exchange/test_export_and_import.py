"""What one hospital exports another imports, and nothing that was altered, cut off, mixed or not accepted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydicom import dcmread

from iodeep.errors import InputError, IntegrityError, ObjectError
from iodeep.inference import Engine
from iodeep.model_object import read_descriptor
from iodeep.service.exchange import exporting
from iodeep.service.exchange.exporting import export_model
from iodeep.service.exchange.importing import ArrivedModel, check_accepted, receive, store_arrived
from iodeep.service.exchange.media import check_directory
from iodeep.service.library import LocalModel, local_model
from tests.unit.model_object.models import edit, flip_byte
from tests.unit.service.exchange.folder_archive import FolderArchive

ROOT = Path(__file__).resolve().parents[4]


def _received(media: Path, tmp_path: Path, engine: Engine, key: Path | None = None) -> ArrivedModel:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return receive(media, workspace, engine, key=key)


@pytest.fixture
def media(brain: LocalModel, tmp_path: Path) -> Path:
    """The model as media in a folder."""
    export_model(brain, tmp_path / "media")
    return tmp_path / "media"


@pytest.mark.parametrize("name", ["media", "media.zip"])
def test_what_was_exported_is_imported_stored_and_the_same(
    name: str, brain: LocalModel, engine: Engine, tmp_path: Path
) -> None:
    export_model(brain, tmp_path / name)
    arrived = _received(tmp_path / name, tmp_path, engine)
    archive = FolderArchive(tmp_path / "archive")

    held = store_arrived(arrived, archive, tmp_path)

    assert arrived.verdict.holds, arrived.verdict
    assert (held.instances, held.held_before) == (6, 0)
    assert archive.stored[-1] == arrived.descriptor.identity.sop_instance_uid
    stored = read_descriptor(archive.path(archive.stored[-1]))
    assert stored.identity == read_descriptor(brain.descriptor_path).identity


def test_media_are_as_the_standard_has_them(media: Path) -> None:
    directory = dcmread(media / "DICOMDIR")
    records = directory.DirectoryRecordSequence
    raw = [record for record in records if record.DirectoryRecordType == "RAW DATA"]

    assert {record.DirectoryRecordType for record in records} == {"PATIENT", "STUDY", "SERIES", "RAW DATA"}
    assert len(raw) == 6
    assert all(media.joinpath(*record.ReferencedFileID).is_file() for record in raw)
    assert all(record.ContentDate and record.ContentTime and record.InstanceNumber for record in raw)


@pytest.mark.skipif(not shutil.which("dcmmkdir"), reason="DCMTK is not installed")
def test_dcmtk_reads_the_directory_and_would_make_the_same(media: Path) -> None:
    def records(folder: Path) -> list[str]:
        dumped = subprocess.run(["dcmdump", "DICOMDIR"], cwd=folder, capture_output=True, text=True, check=True)
        return sorted(line.split("[")[1].split("]")[0] for line in dumped.stdout.splitlines() if "(0004,1430)" in line)

    ours = records(media)
    (media / "DICOMDIR").rename(media.parent / "DICOMDIR")
    # the profile of general purpose media; a release has no Study Time, which dcmmkdir is asked to make up as we did
    subprocess.run(
        ["dcmmkdir", "-Pgp", "+I", "+r", "+id", ".", "-Nxc", "PT000000"], cwd=media, capture_output=True, check=True
    )

    assert records(media) == ours


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error_in_the_directory(media: Path) -> None:
    said = subprocess.run(["dciodvfy", "DICOMDIR"], cwd=media, capture_output=True, text=True, check=False)

    assert said.returncode == 0, said.stderr
    assert "Error" not in said.stderr
    assert "BasicDirectory" in said.stderr


def test_the_card_lies_beside_as_a_page_without_script(media: Path) -> None:
    page = (media / "INDEX.HTM").read_text(encoding="utf-8")

    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert "<script" not in page
    assert "For research; not for diagnosis." in page
    assert "Licence:\n  MIT\n" in (media / "README.TXT").read_text(encoding="utf-8")


def test_a_model_that_does_not_hold_is_not_given_away(brain_folder: Path, tmp_path: Path) -> None:
    altered = Path(shutil.copytree(brain_folder, tmp_path / "altered"))
    flip_byte(altered / "network-00002.dcm", -100)

    with pytest.raises(IntegrityError, match=r"not given away.*part 2 of 5"):
        export_model(local_model(altered), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["media", "media.zip"])
def test_nothing_half_written_stays(
    name: str, brain: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "card_text", fail)

    with pytest.raises(Exception, match="cannot be written"):
        export_model(brain, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_written_over(brain: LocalModel, tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_text("mine")

    with pytest.raises(InputError, match="exists already"):
        export_model(brain, tmp_path / "m.zip")
    assert (tmp_path / "m.zip").read_text() == "mine"


def _rename_first(media: Path) -> None:
    path = media / "PT000000" / "ST000000" / "SE000000" / "RW000001"
    path.rename(media.parent / "gone")


def _swap(media: Path) -> None:
    folder = media / "PT000000" / "ST000000" / "SE000000"
    (folder / "RW000000").rename(media / "x")
    (folder / "RW000001").rename(folder / "RW000000")
    (media / "x").rename(folder / "RW000001")


def _leave(media: Path) -> None:
    def change(directory: object) -> None:
        directory.DirectoryRecordSequence[-1].ReferencedFileID = ["..", "..", "etc", "passwd"]  # type: ignore[attr-defined]

    edit(media / "DICOMDIR", change)


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS:UserWarning")  # pydicom says so of what this test writes
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_rename_first, "PT000000/ST000000/SE000000/RW000001 is missing"),
        (_swap, "RW000000 is not the instance that the DICOMDIR names"),
        (_leave, "outside the media"),
        (lambda media: (media / "DICOMDIR").write_bytes(b"no"), "DICOMDIR cannot be read"),
    ],
)
def test_media_that_are_not_what_their_directory_says_are_refused(
    change: Callable[[Path], None], said: str, media: Path, engine: Engine, tmp_path: Path
) -> None:
    change(media)

    with pytest.raises(ObjectError, match=said):
        _received(media, tmp_path, engine)


def _drop_part(media: Path) -> None:
    (media / "DICOMDIR").unlink()
    _rename_first(media)


def _alter_part(media: Path) -> None:
    flip_byte(media / "PT000000" / "ST000000" / "SE000000" / "RW000003", -100)


def _alter_self_test(media: Path) -> None:
    descriptor = local_model(media).descriptor_path
    flip_byte(descriptor, descriptor.read_bytes().index(b"self_test.json"))


def _alter_card(media: Path) -> None:
    descriptor = local_model(media).descriptor_path
    flip_byte(descriptor, descriptor.read_bytes().index(b"For research") + 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_drop_part, "Missing: part 2 of 5"),
        (_alter_part, "part 4 of 5 of brain-extraction.onnx was altered"),
        (_alter_self_test, "self-test"),
        (_alter_card, "the manifest of RW000000 was altered"),
    ],
)
def test_a_model_that_was_altered_or_is_not_whole_is_not_stored(
    change: Callable[[Path], None], said: str, media: Path, engine: Engine, tmp_path: Path
) -> None:
    change(media)

    arrived = _received(media, tmp_path, engine)

    assert not arrived.verdict.holds
    assert any(said in check.sentence for check in arrived.verdict.checks if not check.holds)
    with pytest.raises(IntegrityError, match="not stored"):
        store_arrived(arrived, FolderArchive(tmp_path / "archive"), tmp_path)


def test_a_patients_image_among_a_models_files_is_named_and_nothing_stored(
    media: Path, engine: Engine, tmp_path: Path
) -> None:
    shutil.copy(next((ROOT / "sample_data" / "mr-head").glob("*.dcm")), media / "IMAGE1")

    with pytest.raises(ObjectError, match="do not belong to the model: IMAGE1"):
        _received(media, tmp_path, engine)


def test_an_archive_that_holds_another_instance_under_a_uid_is_left_as_it_is(
    brain: LocalModel, media: Path, engine: Engine, tmp_path: Path
) -> None:
    archive = FolderArchive(tmp_path / "archive")
    arrived = _received(media, tmp_path, engine)
    uid = arrived.descriptor.parts[2].sop_instance_uid
    shutil.copy(brain.descriptor_path.parent / "network-00003.dcm", archive.path(uid))
    flip_byte(archive.path(uid), -100)
    before = archive.path(uid).read_bytes()

    with pytest.raises(IntegrityError, match="already holds something else under the UID of part 3 of 5"):
        store_arrived(arrived, archive, tmp_path)
    assert archive.path(uid).read_bytes() == before


@pytest.mark.parametrize(
    ("accepted", "ask", "said"),
    [
        ("GPL-3.0-only", None, "not the model's; expected MIT"),
        (None, None, "have to be accepted"),
        (None, lambda: False, "were not accepted"),
    ],
)
def test_terms_that_nobody_accepts_stop_the_import(
    accepted: str | None, ask: Callable[[], bool] | None, said: str, brain: LocalModel
) -> None:
    with pytest.raises(InputError, match=said):
        check_accepted(read_descriptor(brain.descriptor_path), accepted, ask)


@pytest.mark.parametrize(("accepted", "ask"), [("MIT", None), (None, lambda: True)])
def test_terms_are_accepted_by_name_or_by_answer(
    accepted: str | None, ask: Callable[[], bool] | None, brain: LocalModel
) -> None:
    check_accepted(read_descriptor(brain.descriptor_path), accepted, ask)


def _pem(key: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), private


def _rsa() -> tuple[bytes, bytes]:
    key = generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), private


def _openssh() -> tuple[bytes, bytes]:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH), private


def _keys(folder: Path, keys: tuple[bytes, bytes], name: str = "key") -> tuple[Path, Path]:
    public, private = folder / f"{name}.pub", folder / name
    public.write_bytes(keys[0])
    private.write_bytes(keys[1])
    return public, private


@pytest.mark.parametrize("make", [lambda: _pem(Ed25519PrivateKey.generate()), _rsa, _openssh])
def test_what_is_encrypted_to_a_receiver_opens_with_its_key_alone(
    make: Callable[[], tuple[bytes, bytes]], brain: LocalModel, engine: Engine, tmp_path: Path
) -> None:
    public, private = _keys(tmp_path, make())
    _, stranger = _keys(tmp_path, _openssh(), "stranger")
    sealed = tmp_path / "m.zip.age"

    export_model(brain, sealed, receiver=public)

    assert b"AIMODEL" not in sealed.read_bytes()
    assert _received(sealed, tmp_path, engine, private).verdict.holds
    shutil.rmtree(tmp_path / "workspace")
    with pytest.raises(InputError, match="--key"):
        _received(sealed, tmp_path, engine)
    shutil.rmtree(tmp_path / "workspace")
    with pytest.raises(InputError, match="not encrypted to this key"):
        _received(sealed, tmp_path, engine, stranger)


@pytest.mark.parametrize("change", [lambda c: c[:-70_000], lambda c: c[:500_000] + b"\0" + c[500_001:]])
def test_an_encrypted_file_that_was_altered_or_cut_off_is_refused(
    change: Callable[[bytes], bytes], brain: LocalModel, engine: Engine, tmp_path: Path
) -> None:
    public, private = _keys(tmp_path, _openssh())
    sealed = tmp_path / "m.zip.age"
    export_model(brain, sealed, receiver=public)
    sealed.write_bytes(change(sealed.read_bytes()))

    with pytest.raises(IntegrityError, match="altered or is not whole"):
        _received(sealed, tmp_path, engine, private)
    assert list((tmp_path / "workspace").iterdir()) == []


def test_a_key_of_another_kind_is_refused_and_not_shown(brain: LocalModel, tmp_path: Path) -> None:
    key = X25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "x.pem").write_bytes(key)

    with pytest.raises(InputError, match="another kind") as refused:
        export_model(brain, tmp_path / "m.zip.age", receiver=tmp_path / "x.pem")
    assert key.decode().splitlines()[1] not in str(refused.value)
    assert not (tmp_path / "m.zip.age").exists()


@pytest.mark.parametrize("name", ["folder", "m.zip", "m.age"])
def test_the_name_tells_whether_it_is_encrypted(name: str, brain: LocalModel, tmp_path: Path) -> None:
    public, _ = _keys(tmp_path, _openssh())

    with pytest.raises(InputError, match=r"\.zip\.age"):
        export_model(brain, tmp_path / name, receiver=public)
    with pytest.raises(InputError, match="would not be encrypted"):
        export_model(brain, tmp_path / "m.zip.age")


def test_a_folder_without_directory_is_judged_by_the_manifest_alone(tmp_path: Path) -> None:
    check_directory(tmp_path)
