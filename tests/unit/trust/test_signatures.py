"""A signature covers everything that selection and execution read of a model, survives what archives do, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.uid import ImplicitVRLittleEndian

import iodeep
from iodeep.errors import InputError, IntegrityError, IODeepError, NotTrustedError, ObjectError
from iodeep.model_object import ObjectKind, PackedModel, Signature, read_descriptor, read_signature, recognise
from iodeep.model_object import private_block as block
from iodeep.service.signing import sign_model, write_new_key
from iodeep.service.trusting import signatures_in_files
from iodeep.trust import verify_object
from iodeep.trust.signatures import (
    SignerRole,
    SigningKey,
    check_signature,
    read_signing_key,
    sign_statement,
    statement_of,
)
from iodeep.trust.signatures.signing import signed_bytes
from tests.unit.model_object.models import brain_self_test, edit, pack_ensemble
from tests.unit.model_object.test_archives import move_block, reencode
from tests.unit.trust.signing import certificate_authority, issued, judged, key_files, policy, signed, write_certificate
from tests.validators import dciodvfy_errors


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return pack_ensemble(tmp_path_factory.mktemp("model"), self_test=brain_self_test())


def copied(model: PackedModel, to: Path) -> PackedModel:
    """The model in files of its own, to be altered."""
    shutil.copytree(model.folder, to)
    parts = tuple(to / path.name for path in model.parts)
    return PackedModel(
        to, to / model.descriptor.name, parts, model.identity, model.study_instance_uid, model.total_bytes
    )


READING = ("selection/catalogue", "selection/descriptor_reader", "service/library", "service/trusting",
           "model_object/descriptor", "model_object/check_part", "model_object/assemble", "model_object/recognise")  # fmt: skip


def keywords_read() -> set[str]:
    """Every DICOM keyword that stands in the modules that read a model on its way from the archive to the network."""
    folder = Path(iodeep.__file__).parent
    text = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in READING)
    return set(re.findall(r"\b([A-Z][A-Za-z]*[a-z][A-Za-z]*|[A-Za-z]+UID|PatientID|StudyID)\b", text))


def altered(dataset: Dataset, keyword: str) -> None:
    """Another value of the same VR."""
    others = {"UI": "1.2.3.4.5", "DA": "20200102", "TM": "010203", "IS": "77", "CS": "ALTERED", "LO": "altered"}
    others |= {"PN": "AIMODEL^Altered", "SH": "V9.9.9"}
    setattr(dataset, keyword, others[dictionary_VR(keyword)])


def another(value: str | bytes) -> str | bytes:
    """The value with its last character, or a byte within, changed."""
    if isinstance(value, bytes):
        return value[:40] + bytes([value[40] ^ 1]) + value[41:]
    return value[:-1] + ("1" if value[-1] != "1" else "2")


def covered(model: PackedModel) -> Iterator[str]:
    """Attributes of the descriptor that are read, but sequences."""
    dataset = dcmread(model.descriptor)
    read = keywords_read() - {"SpecificCharacterSet"}
    yield from sorted(each.keyword for each in dataset if each.keyword in read and each.VR != "SQ")


def test_every_attribute_that_is_read_is_covered(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    trust, signature = policy(public), signed(model, key, tmp_path)
    assert judged(trust, model, signature).accepted
    asked = list(covered(model))
    assert {"PatientID", "PatientName", "StudyInstanceUID", "SeriesNumber", "SeriesInstanceUID"} <= set(asked)

    for keyword in asked:
        copy = copied(model, tmp_path / keyword)
        edit(copy.descriptor, lambda dataset, keyword=keyword: altered(dataset, keyword))  # type: ignore[misc]
        with pytest.raises(IntegrityError, match=keyword):
            judged(trust, copy, signature)


@pytest.mark.parametrize("element", [block.SCHEMA, block.MANIFEST, block.MANIFEST_SHA256, block.SELF_TEST], ids=str)
def test_every_private_element_of_the_descriptor_is_covered(
    model: PackedModel, tmp_path: Path, element: block.Element
) -> None:
    copy = copied(model, tmp_path / "copy")

    def alter(dataset: Dataset) -> None:
        dataset[element.tag()].value = another(dataset[element.tag()].value)

    edit(copy.descriptor, alter)

    with pytest.raises(ObjectError):
        read_descriptor(copy.descriptor)


@pytest.mark.parametrize(
    "element",
    [block.SCHEMA, block.MANIFEST_SHA256, block.PART_INDEX, block.PART_COUNT, block.PART_LENGTH, block.PART_SHA256,
     block.FILE_NAME, block.PAYLOAD],
    ids=str,
)  # fmt: skip
def test_every_private_element_of_a_part_is_covered(model: PackedModel, tmp_path: Path, element: block.Element) -> None:
    copy = copied(model, tmp_path / "copy")

    def alter(dataset: Dataset) -> None:
        dataset[element.tag()].value = another(dataset[element.tag()].value)

    edit(copy.parts[0], alter)

    assert not verify_object(copy.descriptor, copy.parts).holds


def test_an_attribute_that_was_changed_together_with_the_manifest_is_named(model: PackedModel, tmp_path: Path) -> None:
    """Whoever repacks a model under its old UIDs has another manifest: the signature is not for it."""
    key, public = key_files(tmp_path)
    other = pack_ensemble(tmp_path / "other", seed=2)

    (refusal,) = judged(policy(public), other, signed(model, key, tmp_path)).refusals[:1]

    assert "for another model, or the manifest was replaced" in refusal


@pytest.mark.parametrize("kind", ["ed25519", "ec", "rsa"])
def test_a_signature_survives_implicit_vr_and_moved_blocks(model: PackedModel, tmp_path: Path, kind: str) -> None:
    key, public = key_files(tmp_path)
    if kind != "ed25519":
        ca = certificate_authority()
        key, public = issued(ca, with_rsa=kind == "rsa"), write_certificate(tmp_path / "ca.pem", ca)
    path = sign_model(read_descriptor(model.descriptor), key, SignerRole.DEVELOPER, tmp_path)
    reencode(path, ImplicitVRLittleEndian)
    edit(path, lambda dataset: move_block(dataset, block.HEADER_GROUP, 0x42))

    verdict = judged(policy(public), model, read_signature(path))

    assert verdict.accepted, verdict.refusals
    assert verdict.good[0].role is SignerRole.DEVELOPER


@pytest.mark.parametrize("kind", ["ed25519", "cms"])
@pytest.mark.parametrize("element", [block.STATEMENT, block.SIGNATURE, block.SIGNATURE_KEY], ids=str)
def test_a_signature_that_was_altered_is_refused(
    model: PackedModel, tmp_path: Path, element: block.Element, kind: str
) -> None:
    key, public = key_files(tmp_path)
    if kind == "cms":
        ca = certificate_authority()
        key, public = issued(ca), write_certificate(tmp_path / "ca.pem", ca)
    path = sign_model(read_descriptor(model.descriptor), key, SignerRole.DEVELOPER, tmp_path)

    def alter(dataset: Dataset) -> None:
        dataset[element.tag()].value = another(dataset[element.tag()].value)

    edit(path, alter)

    assert not judged(policy(public), model, read_signature(path)).accepted


def keys_of(kind: str, folder: Path) -> tuple[SigningKey, Path]:
    """A key of the kind, and the file by which a site trusts it."""
    if kind == "ed25519":
        return key_files(folder)
    ca = certificate_authority()
    return issued(ca), write_certificate(folder / "ca.pem", ca)


@pytest.mark.parametrize("kind", ["ed25519", "cms"])
def test_a_statement_that_was_written_anew_is_refused(model: PackedModel, tmp_path: Path, kind: str) -> None:
    """A valid statement, and a valid signature of another one: somebody wants to be a hospital."""
    key, public = keys_of(kind, tmp_path)
    trust = policy(public, key={"roles": ["developer", "hospital"]}, roles=["hospital"])
    given = signed(model, key, tmp_path)
    wanted = statement_of(read_descriptor(model.descriptor), SignerRole.HOSPITAL, key.type_and_id, datetime.now(UTC))
    assert judged(trust, model, sign_statement(wanted, key)).accepted

    (refusal,) = judged(trust, model, replace(given, statement=wanted.encoded())).refusals

    assert "does not hold" in refusal


@pytest.mark.parametrize("kind", ["ed25519", "cms"])
@pytest.mark.parametrize("named", ["statement", "signature", "both"])
def test_a_signature_that_names_another_key_is_refused(
    model: PackedModel, tmp_path: Path, kind: str, named: str
) -> None:
    """Else a revoked key could go by another name."""
    key, public = keys_of(kind, tmp_path)
    other = f"{key.type_and_id.split()[0]} {'0' * 40}"
    in_statement = key.type_and_id if named == "signature" else other
    on_signature = key.type_and_id if named == "statement" else other
    statement = statement_of(read_descriptor(model.descriptor), SignerRole.DEVELOPER, in_statement, datetime.now(UTC))
    content = statement.encoded()

    verdict = judged(
        policy(public), model, Signature(content, signed_bytes(content, key), on_signature, "the signature")
    )

    assert not verdict.accepted
    assert "does not hold" in verdict.refusals[0] or "does not trust" in verdict.refusals[0]


def test_each_byte_of_a_cms_signature_matters(model: PackedModel, tmp_path: Path) -> None:
    """Whichever byte is changed, the signature is not taken for one of this CA any more, and nothing else is raised."""
    ca = certificate_authority()
    public = write_certificate(tmp_path / "ca.pem", ca)
    good = signed(model, issued(ca), tmp_path)
    trust, taken = policy(public), []
    for place in range(len(good.value)):
        value = good.value[:place] + bytes([good.value[place] ^ 0x55]) + good.value[place + 1 :]
        bad = type(good)(good.statement, value, good.type_and_key, good.where)
        if judged(trust, model, bad).accepted:
            taken.append(place)

    assert taken == []


def test_openssl_verifies_our_cms_signatures(model: PackedModel, tmp_path: Path) -> None:
    ca = certificate_authority()
    signature = signed(model, issued(ca), tmp_path)
    (tmp_path / "statement").write_bytes(signature.statement)
    (tmp_path / "value").write_bytes(signature.value)
    command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "value", "-content", "statement"]
    command += ["-CAfile", str(write_certificate(tmp_path / "ca.pem", ca)), "-purpose", "any", "-out", "/dev/null"]

    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_a_signature_is_a_valid_object_beside_the_model(model: PackedModel, tmp_path: Path) -> None:
    copy = copied(model, tmp_path / "copy")
    before = {path: path.read_bytes() for path in copy.files}
    key, _ = key_files(tmp_path)

    path = sign_model(read_descriptor(copy.descriptor), key, SignerRole.HOSPITAL, copy.folder)

    assert {each: each.read_bytes() for each in copy.files} == before
    assert recognise(path).kind is ObjectKind.SIGNATURE
    assert dciodvfy_errors(path) == []
    assert verify_object(copy.descriptor, [copy.folder]).holds
    assert verify_object(copy.descriptor, [*copy.parts, path]).holds
    (found,) = signatures_in_files([copy.folder])
    assert check_signature(found, key.private.public_key()).statement.role is SignerRole.HOSPITAL  # type: ignore[arg-type]


def test_a_key_is_its_owner_s_alone_and_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    public = write_new_key(path, "a good passphrase")

    assert path.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in path.read_bytes()
    assert b"PRIVATE" not in public.read_bytes()
    with pytest.raises(InputError, match="no private key can be read"):
        read_signing_key(path, "another one")
    with pytest.raises(InputError, match="is encrypted"):
        read_signing_key(path)
    with pytest.raises(InputError, match="never written over"):
        write_new_key(path, "")
    assert "PRIVATE" not in repr(read_signing_key(path, "a good passphrase"))


def test_a_key_and_another_s_certificate_are_refused(tmp_path: Path) -> None:
    ca = certificate_authority()
    write_new_key(tmp_path / "key.pem", "")
    with pytest.raises(InputError, match="cannot sign by CMS"):
        read_signing_key(tmp_path / "key.pem", "", write_certificate(tmp_path / "c.pem", issued(ca)))


def test_errors_of_this_room_are_ours() -> None:
    assert issubclass(NotTrustedError, IODeepError)
    assert isinstance(SigningKey(certificate_authority().private).type_and_id, str)
