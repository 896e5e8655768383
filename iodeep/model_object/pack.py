"""Card and payload files -> a folder of DICOM instances, whole and read back, or nothing at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom.uid import generate_uid

import iodeep
from iodeep.card import ModelCard, card_document
from iodeep.errors import CardError, InputError, IntegrityError
from iodeep.model_object.check_part import check_payload
from iodeep.model_object.counting import counter
from iodeep.model_object.descriptor import read_descriptor
from iodeep.model_object.identity import ModelIdentity
from iodeep.model_object.local_files import open_input, whole_folder
from iodeep.model_object.manifest import (
    Device,
    Manifest,
    Packer,
    PartEntry,
    PayloadFile,
    Role,
    SelfTestEntry,
    Series,
    canonical_json,
    manifest_bytes,
    manifest_digest,
)
from iodeep.model_object.self_test import SelfTest
from iodeep.model_object.self_test_rules import check_can_fail
from iodeep.model_object.sources import Scan, Source, check_unchanged, find_sources, scan_all
from iodeep.model_object.write import write_descriptor, write_part
from iodeep.ports import ProgressSink, no_progress
from iodeep.terms import CREATOR_VERSION_UID, deterministic_uid

DEFAULT_PART_SIZE = 64 << 20
MAX_PART_SIZE = 0xFFFF_FFFE - 1
"""An OB element has a 32-bit length, even, below the undefined length (PS3.5 7.1.1)."""
DESCRIPTOR_NAME = "descriptor.dcm"


@dataclass(frozen=True)
class PackedModel:
    """What was written."""

    folder: Path
    descriptor: Path
    parts: tuple[Path, ...]
    identity: ModelIdentity
    study_instance_uid: str
    total_bytes: int

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything to store: the parts first, so that a model is found only when it is complete."""
        return (*self.parts, self.descriptor)


def pack_model(
    card: ModelCard,
    files: Mapping[str, Path],
    out: Path,
    *,
    part_size: int = DEFAULT_PART_SIZE,
    self_test: SelfTest | None = None,
    packed_at: datetime | None = None,
    packed_despite: str | None = None,
    imported: str | None = None,
    progress: ProgressSink = no_progress,
) -> PackedModel:
    """Write a model to ``out``, a folder that does not exist yet or is empty.

    ``files``: exactly the names that the card's network lists. ``part_size``: bytes of payload in one instance; odd
    ones are allowed. ``packed_despite`` and ``imported``: recorded in the manifest. Raises CardError for text that DICOM cannot carry, InputError for files, part size and
    self-test, LocalStorageError where the disk refuses, IntegrityError where reading back finds something else.
    """
    _check_text(card)
    _check_part_size(part_size)
    sources = find_sources(card, files)
    if self_test is not None:
        check_can_fail(self_test, card)
    encoded_test = self_test.encode() if self_test else None
    scans = scan_all(sources, part_size, progress)
    manifest = _manifest(card, sources, scans, encoded_test, packed_at or datetime.now(UTC), packed_despite, imported)
    with whole_folder(out) as folder:
        names = _write(folder, manifest, sources, encoded_test, progress)
        check_unchanged(sources)
        _read_back(folder, names, progress)
    encoded = manifest_bytes(manifest)
    return PackedModel(
        folder=out,
        descriptor=out / DESCRIPTOR_NAME,
        parts=tuple(out / name for name in names.values()),
        identity=manifest.identity(manifest_digest(encoded)),
        study_instance_uid=manifest.study_instance_uid,
        total_bytes=manifest.total_bytes,
    )


def _check_text(card: ModelCard) -> None:
    """LO and SH hold neither backslashes nor control characters (PS3.5 6.2)."""
    texts = {"name": card.name, "summary": card.summary, "developer.name": card.developer.name}
    for field, text in texts.items():
        if "\\" in text or any(not character.isprintable() for character in text):
            raise CardError(
                f"the card's {field} holds a backslash or a control character",
                found=repr(text),
                remedy="Write it in plain text, on one line.",
            )


def _check_part_size(part_size: int) -> None:
    if not 1 <= part_size <= MAX_PART_SIZE:
        raise InputError(
            "the part size is not one that DICOM can carry",
            expected=f"1 to {MAX_PART_SIZE} bytes",
            found=f"{part_size}",
            remedy=f"{DEFAULT_PART_SIZE >> 20} MiB suits every archive that was tried.",
        )


def _manifest(
    card: ModelCard,
    sources: list[Source],
    scans: list[Scan],
    self_test: bytes | None,
    packed_at: datetime,
    packed_despite: str | None,
    imported: str | None,
) -> Manifest:
    series = Series(
        descriptor=_fresh_uid(),
        networks=_fresh_uid(),
        trainable=_fresh_uid() if card.network.trainable else None,
    )
    files = tuple(
        PayloadFile(name=source.name, role=source.role, length=source.size, sha256=scan.sha256)
        for source, scan in zip(sources, scans, strict=True)
    )
    return Manifest(
        packed_at=packed_at.astimezone(UTC).replace(microsecond=0),
        packer=Packer(name="IODeep", version=iodeep.__version__, creator_version_uid=CREATOR_VERSION_UID),
        card=card,
        patient_id=card.patient_id,
        study_instance_uid=_fresh_uid(),
        sop_instance_uid=_fresh_uid(),
        series=series,
        device=_device(card, files),
        parents=card.parents,
        files=files,
        parts=_parts(sources, scans, series),
        self_test=_self_test_entry(self_test),
        packed_despite=packed_despite,
        imported=imported,
    )


def _parts(sources: list[Source], scans: list[Scan], series: Series) -> tuple[PartEntry, ...]:
    numbers = {series.networks: 0, series.trainable: 0}
    entries: list[PartEntry] = []
    for source, scan in zip(sources, scans, strict=True):
        uid = series.trainable if source.role is Role.TRAINABLE else series.networks
        assert uid is not None
        for index, (length, sha256) in enumerate(scan.parts, start=1):
            numbers[uid] += 1
            entries.append(
                PartEntry(
                    sop_instance_uid=_fresh_uid(),
                    series_instance_uid=uid,
                    instance_number=numbers[uid],
                    file=source.name,
                    index=index,
                    count=len(scan.parts),
                    length=length,
                    sha256=sha256,
                )
            )
    return tuple(entries)


def _fresh_uid() -> str:
    """Instances are immutable, so a model that is packed again gets new UIDs: archives keep the first or the last."""
    return str(generate_uid(prefix=None))


def _device(card: ModelCard, files: tuple[PayloadFile, ...]) -> Device:
    """The same card and files are the same device, however often and in whatever parts they are packed."""
    content = canonical_json({"card": card_document(card), "files": {file.name: file.sha256 for file in files}})
    return Device(
        device_uid=deterministic_uid("device", hashlib.sha256(content).hexdigest()),
        device_class_uid=deterministic_uid("device class", card.developer.name, card.token),
    )


def _self_test_entry(encoded: bytes | None) -> SelfTestEntry | None:
    if encoded is None:
        return None
    return SelfTestEntry(length=len(encoded), sha256=hashlib.sha256(encoded).hexdigest())


def _write(
    folder: Path, manifest: Manifest, sources: list[Source], self_test: bytes | None, progress: ProgressSink
) -> dict[str, str]:
    """Write every instance; names of the part files by SOP Instance UID."""
    encoded = manifest_bytes(manifest)
    sha256 = manifest_digest(encoded)
    advance = counter("write", manifest.total_bytes, progress)
    names: dict[str, str] = {}
    for source in sources:
        offset = 0
        with open_input(source.path) as file:
            for part in manifest.parts_of(source.name):
                name = _part_name(part, source.role)
                write_part(folder / name, manifest, part, sha256, file, offset)
                names[part.sop_instance_uid] = name
                offset += part.length
                advance(part.length)
    write_descriptor(folder / DESCRIPTOR_NAME, manifest, encoded, sha256, self_test)
    return names


def _part_name(part: PartEntry, role: Role) -> str:
    return f"{'trainable' if role is Role.TRAINABLE else 'network'}-{part.instance_number:05}.dcm"


def _read_back(folder: Path, names: dict[str, str], progress: ProgressSink) -> None:
    """A model counts as packed only after its files were read again and every digest held."""
    descriptor = read_descriptor(folder / DESCRIPTOR_NAME)
    advance = counter("read back", descriptor.total_bytes, progress)
    for part in descriptor.parts:
        try:
            check_payload(descriptor, part, folder / names[part.sop_instance_uid], advance)
        except IntegrityError as error:
            raise IntegrityError(
                f"{part} is not on the disk as it was read",
                remedy="The network's file changed while it was packed, or the disk is faulty. Nothing was left behind.",
            ) from error
