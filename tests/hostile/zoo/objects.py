"""Model objects: programs as weights, blocks of others, parts of others, lengths and nesting that lie, names that collide."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from iodeep.errors import IntegrityError, ObjectError
from iodeep.model_object import ObjectKind, SelfTest, assemble, explain_legacy, read_descriptor, recognise
from iodeep.model_object.dicom_file import read_header
from iodeep.model_object.manifest import canonical_json, manifest_of_bytes
from iodeep.model_object.private_block import CREATOR, MANIFEST, MANIFEST_SHA256, PAYLOAD, SCHEMA, raw_value
from iodeep.service.library import local_model
from tests.hostile.models import packed, self_test
from tests.hostile.mutating.dicom import UNDEFINED, Element, File, nested, parsed
from tests.hostile.zoo.ground import Ground
from tests.hostile.zoo.specimen import Cage
from tests.unit.model_object.legacy_writer import torch_archive, write_legacy

CAGE = Cage()
DESCRIPTOR, PART = "descriptor.dcm", "network-00001.dcm"


def altered(path: Path, change: Callable[[File], File]) -> Path:
    """The file, its elements changed."""
    path.write_bytes(change(parsed(path.read_bytes())).encoded())
    return path


def descriptor(ground: Ground, change: Callable[[File], File]) -> None:
    """The model with another descriptor, read as any folder's is."""
    folder = ground.model_copy()
    altered(folder / DESCRIPTOR, change)
    read_descriptor(folder / DESCRIPTOR)


def _legacy(name: str, weights: Callable[[Ground], bytes], says: str = "refused to run") -> None:
    @CAGE.keep(f"legacy-{name}", "execution: the prior art's object, whose weights are a program", ObjectError, says)
    def attack(ground: Ground) -> None:
        write_legacy(ground.place / "legacy.dcm", weights(ground))
        explain_legacy(ground.place / "legacy.dcm")
        local_model(ground.place / "legacy.dcm")


_legacy("pickle", lambda ground: ground.pickle, "import posix.system")
_legacy("torch-archive", lambda ground: torch_archive(ground.pickle), "import posix.system")
_legacy("twice-encoded", lambda ground: base64.b64encode(ground.pickle), "refused to run")


@CAGE.keep(
    "legacy-bomb", "memory: the prior art's object, whose archive unpacks to gigabytes", ObjectError, "refused to run"
)
def _legacy_bomb(ground: Ground) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("archive/data.pkl", "w") as member:
        for _ in range(200):
            member.write(bytes(1 << 20))
    _write_and_read(ground, stream.getvalue())


def _write_and_read(ground: Ground, weights: bytes) -> None:
    write_legacy(ground.place / "legacy.dcm", weights)
    local_model(ground.place / "legacy.dcm")


@CAGE.keep(
    "pickled-arrays", "execution: a self-test whose array holds objects", ObjectError, "self-test of it is malformed"
)
def _npy(ground: Ground) -> None:
    array = io.BytesIO()
    np.save(array, np.array([None], dtype=object), allow_pickle=True)
    SelfTest.decode(_self_test(**{"input.image.npy": array.getvalue() + ground.pickle}), "it")


@CAGE.keep("array-of-terabytes", "memory: a self-test whose array says it is huge", ObjectError, "malformed")
def _huge_npy(ground: Ground) -> None:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 1), }"
    array = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
    SelfTest.decode(_self_test(**{"input.image.npy": array}), "it")


@CAGE.keep("self-test-bomb", "memory: a self-test that unpacks to gigabytes", ObjectError, "too large")
def _self_test_bomb(ground: Ground) -> None:
    SelfTest.decode(_self_test(bomb=bytes(140 << 20)), "it")


def _self_test(**members: bytes) -> bytes:
    """The self-test with other members."""
    stream = io.BytesIO(self_test().encode())
    with zipfile.ZipFile(stream) as archive:
        kept = {info.filename: archive.read(info) for info in archive.infolist()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**kept, **members}.items():
            archive.writestr(name, content)
    return stream.getvalue()


@CAGE.keep(
    "two-creators", "confusion: our block reserved twice", ObjectError, "reserves the block|holds no model object"
)
def _two_creators(ground: Ground) -> None:
    def change(file: File) -> File:
        other = Element(0x0099_0011, b"LO", CREATOR.encode())
        return File((*file.elements, other))

    descriptor(ground, change)


@CAGE.keep(
    "foreign-creator",
    "confusion: our elements in a block that another creator reserves",
    ObjectError,
    "is not the descriptor",
)
def _foreign(ground: Ground) -> None:
    descriptor(ground, lambda file: file.with_(0x0099_0010, value=b"ACME 1.1"))


@CAGE.keep("foreign-neighbour", "confusion: another creator's block beside ours; it is left aside")
def _neighbour(ground: Ground) -> None:
    def change(file: File) -> File:
        theirs = (
            Element(0x0099_0011, b"LO", b"ACME 1.1"),
            Element(0x0099_1112, b"OB", b"{}"),
            Element(0x0099_1113, b"LO", b"00"),
        )
        return File(tuple(sorted((*file.elements, *theirs), key=lambda each: each.tag)))

    descriptor(ground, change)


@CAGE.keep("moved-block", "confusion: our block at another number, as an archive may move it; it is found there")
def _moved(ground: Ground) -> None:
    def change(file: File) -> File:
        def tag(each: Element) -> int:
            return (
                each.tag | 0x0100
                if each.tag >> 8 == 0x00_9910
                else 0x0099_0011
                if each.tag == 0x0099_0010
                else each.tag
            )

        return File(tuple(Element(tag(each), each.vr, each.value) for each in file.elements))

    descriptor(ground, change)


@CAGE.keep(
    "same-uid-other-content", "replacing: a part under the same UID with other bytes", IntegrityError, "was altered"
)
def _replaced(ground: Ground) -> None:
    folder = ground.model_copy()
    altered(folder / PART, lambda file: file.with_(PAYLOAD.tag(), value=bytes(300)))
    assemble(read_descriptor(folder / DESCRIPTOR), [folder], ground.out)


@CAGE.keep("duplicate-part", "confusion: a part twice", ObjectError, "is there twice")
def _duplicate(ground: Ground) -> None:
    folder = ground.model_copy()
    (folder / "again.dcm").write_bytes((folder / PART).read_bytes())
    assemble(read_descriptor(folder / DESCRIPTOR), [folder], ground.out)


@CAGE.keep(
    "part-of-another",
    "replacing: a part of another model under this one's name",
    ObjectError,
    "of another model|are missing",
)
def _stranger(ground: Ground) -> None:
    folder = ground.model_copy()
    other = packed(ground.place / "other", card=ground.card(name="Other"))
    (folder / PART).write_bytes(other.parts[0].read_bytes())
    assemble(read_descriptor(folder / DESCRIPTOR), [folder / PART, folder / "network-00002.dcm"], ground.out)


@CAGE.keep(
    "relabelled-part",
    "replacing: a part of another model that claims this one's manifest",
    ObjectError,
    "not among the parts|says something else|two|altered|missing",
)
def _relabelled(ground: Ground) -> None:
    folder = ground.model_copy()
    other = packed(ground.place / "other", part_size=290)
    digest = read_descriptor(folder / DESCRIPTOR).identity.manifest_sha256.encode()
    path = altered(other.parts[0], lambda file: file.with_(MANIFEST_SHA256.tag(), value=digest))
    (folder / PART).write_bytes(path.read_bytes())
    assemble(read_descriptor(folder / DESCRIPTOR), [folder], ground.out)


@CAGE.keep(
    "another-patient-id",
    "finding: a descriptor whose Patient ID is another model's",
    IntegrityError,
    "PatientID .* not what its manifest says",
)
def _patient(ground: Ground) -> None:
    descriptor(ground, lambda file: file.with_(0x0010_0020, value=b"AIM1.CT.CHEST.ANY.OTHER "))


def _attribute(name: str, tag: int, says: str, **changes: Any) -> None:
    @CAGE.keep(name, "reading: an attribute by which a model is found, garbled", ObjectError, says)
    def attack(ground: Ground) -> None:
        descriptor(ground, lambda file: file.with_(tag, **changes))


_attribute("uid-of-no-vr", 0x0020_000D, "StudyInstanceUID", vr=b"ZZ")
_attribute("uid-as-sequence", 0x0008_0018, "SOPInstanceUID|holds no model object|not a readable", vr=b"SQ")
_attribute("two-patient-ids", 0x0010_0020, "PatientID", value=b"AIM1.MR.HEAD.ANY.BRAINMASK\\X")
_attribute("patient-id-with-nul", 0x0010_0020, "PatientID", value=b"AIM1.MR.HEAD.ANY.BRAINMASK\0X")
_attribute(
    "huge-length", 0x0010_0020, "too large|holds no model object|ends in the middle", vr=b"UT", length=0xFFFF_FFFE
)
_attribute("undefined-length", 0x0010_0020, "is not the descriptor|not a readable", vr=b"UT", length=UNDEFINED)
_attribute("negative-length", 0x0099_1012, "too large|holds no model object", length=0x8000_0000)
_attribute(
    "no-transfer-syntax", 0x0002_0010, "transfer syntax|holds no model object", value=b"1.2.840.10008.1.2.1.99\0"
)
_attribute("schema-of-the-future", SCHEMA.tag(), "schema", value=b"1.2.3.4\0")


def _deep(name: str, depth: int, *, defined: bool) -> None:
    @CAGE.keep(name, "stack: sequences within sequences; they are passed over, or refused")
    def attack(ground: Ground) -> bool:
        folder = ground.model_copy()
        altered(
            folder / DESCRIPTOR,
            lambda file: File(
                (*file.elements[:9], nested(depth, tag=0x0009_1001, defined=defined), *file.elements[9:])
            ),
        )
        return recognise(folder / DESCRIPTOR).kind in (ObjectKind.DESCRIPTOR, ObjectKind.OTHER)


_deep("deep-sequences", 5000, defined=False)
_deep("deep-sequences-of-defined-length", 500, defined=True)


@CAGE.keep(
    "segmentation-under-a-models-token",
    "confusion: an image object that bears a model's Patient ID",
    ObjectError,
    "holds no model object",
)
def _segmentation(ground: Ground) -> None:
    from tests.hostile.mutating.dicom import parsed as read

    path = ground.series()[0]
    file = (
        read(path.read_bytes())
        .with_(0x0010_0020, value=b"AIM1.MR.HEAD.ANY.BRAINMASK")
        .with_(0x0008_0060, value=b"SEG ")
    )
    path.write_bytes(file.encoded())
    local_model(path)


def sealed(ground: Ground, encoded: bytes) -> None:
    """The descriptor with this manifest, and its digest."""

    def change(file: File) -> File:
        digest = hashlib.sha256(encoded).hexdigest().encode()
        return file.with_(MANIFEST.tag(), value=encoded + bytes(len(encoded) % 2)).with_(
            MANIFEST_SHA256.tag(), value=digest
        )

    descriptor(ground, change)


def manifest(ground: Ground) -> dict[str, Any]:
    """The model's manifest."""
    encoded = raw_value(read_header(ground.model.descriptor).dataset, MANIFEST)
    assert encoded is not None
    found: dict[str, Any] = json.loads(encoded.rstrip(b"\0"))
    return found


def _manifest(name: str, says: str, change: Callable[[dict[str, Any]], object]) -> None:
    @CAGE.keep(
        f"manifest-{name}", "reading: a manifest that is sealed again, so that its digest holds", ObjectError, says
    )
    def attack(ground: Ground) -> None:
        document = manifest(ground)
        changed = change(document)
        sealed(ground, changed if isinstance(changed, bytes) else canonical_json(document))


def _renamed(name: str) -> Callable[[dict[str, Any]], None]:
    """The network's file under another name, everywhere."""

    def change(document: dict[str, Any]) -> None:
        document["card"]["network"]["files"] = [name]
        for each in (*document["files"], *document["parts"]):
            each["name" if "name" in each else "file"] = name

    return change


_manifest("keys-twice", "canonical form", lambda document: canonical_json(document)[:-1] + b',"schema_uid":"1.2.3"}')
_manifest("deep", "not JSON", lambda _: b"[" * 100_000 + b"]" * 100_000)
_manifest(
    "huge-number",
    "not JSON|canonical|not valid",
    lambda document: canonical_json(document).replace(b'"index":1', b'"index":' + b"9" * 5000),
)
_manifest(
    "infinite-number",
    "not JSON|canonical|not valid",
    lambda document: canonical_json(document).replace(b'"index":1', b'"index":1e999'),
)
_manifest("too-large", "too large", lambda _: b" " * (17 << 20))
_manifest("file-upwards", "network.files", _renamed("../evil.onnx"))
_manifest("file-absolute", "network.files", _renamed("/etc/cron.d/evil"))
_manifest("file-drive", "network.files", _renamed("C:evil.onnx"))
_manifest("file-nul", "network.files|not seen", _renamed("evil.onnx\0.txt"))
_manifest("file-hidden", "network.files", _renamed(".bashrc"))
_manifest("file-homoglyph", "network.files", _renamed("tіny.onnx"))
_manifest("file-decomposed", "network.files", _renamed("te\u0301st.onnx"))
_manifest("file-of-65-characters", "network.files", _renamed("a" * 65))
_manifest(
    "names-by-case",
    "differ in case alone",
    lambda document: document["card"]["network"].update(files=["tiny.onnx", "Tiny.onnx"]),
)
_manifest(
    "uid-of-65-characters", "study_instance_uid", lambda document: document.update(study_instance_uid="1." + "2" * 63)
)
_manifest(
    "shared-uid",
    "share a SOP Instance UID",
    lambda document: document["parts"][0].update(sop_instance_uid=document["sop_instance_uid"]),
)
_manifest("petabyte-part", "length", lambda document: document["parts"][0].update(length=1 << 50))
_manifest("too-many-parts", "50000|too large", lambda document: document.update(parts=document["parts"] * 25_001))
_manifest(
    "name-that-steers-a-terminal", "not seen", lambda document: document["card"].update(name="\x1b]0;Approved\x07")
)
_manifest("name-turned-around", "not seen", lambda document: document["card"].update(name="nimda\u202e"))
_manifest(
    "other-token", "patient_id is not the card's", lambda document: document.update(patient_id="AIM1.CT.CHEST.ANY.X")
)
_manifest("no-zone", "no time zone", lambda document: document.update(packed_at="2026-01-31T12:00:00"))


@CAGE.keep("file-of-64-characters", "edges: a name as long as names may be; it is taken")
def _longest(ground: Ground) -> None:
    document = manifest(ground)
    _renamed("a" * 59 + ".onnx")(document)
    assert len(manifest_of_bytes(canonical_json(document), "it").files[0].name) == 64
