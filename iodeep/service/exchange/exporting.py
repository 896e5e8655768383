"""A model leaves: verified, written as DICOM media with its card beside it, read back, whole or not at all."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import InputError, IntegrityError
from iodeep.model_object import ModelDescriptor
from iodeep.model_object.assemble import find_parts
from iodeep.model_object.counting import counter
from iodeep.model_object.local_files import storage_errors, whole_file, whole_folder
from iodeep.ports import ProgressSink, no_progress
from iodeep.service.exchange.beside import signature_files
from iodeep.service.exchange.card_page import card_page, card_text
from iodeep.service.exchange.listing import list_zip, opened_zip
from iodeep.service.exchange.media import check_directory, write_file_set
from iodeep.service.exchange.sealing import SUFFIX, seal
from iodeep.service.library import LocalModel
from iodeep.trust import verify_object

PAGE, TEXT = "INDEX.HTM", "README.TXT"
"""The card, for people; PS3.10 lets media hold files that no DICOMDIR names."""
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Exported:
    """What was written, and of which model."""

    out: Path
    descriptor: ModelDescriptor
    instances: int
    bytes: int
    sealed: bool


def export_model(
    model: LocalModel, out: Path, *, receiver: Path | None = None, progress: ProgressSink = no_progress
) -> Exported:
    """Write the model to ``out``: a folder that is new or empty, or a file ending in .zip or .zip.age that is new.

    ``receiver``: the public key of the one who alone may open it. Raises IntegrityError where the model doesn't hold
    (then nothing is written), InputError for a name or key that cannot be used.
    """
    kind = _kind(out, sealed=receiver is not None)
    descriptor = _verified(model, progress)
    files = [find_parts(descriptor, model.part_paths).by_uid[part.sop_instance_uid] for part in descriptor.parts]
    files += [*signature_files(descriptor, model.part_paths), model.descriptor_path]
    if kind == "folder":
        with whole_folder(out) as folder:
            _write_media(descriptor, files, folder, progress)
        return _exported(out, descriptor, files, sealed=False)
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".exporting-", dir=out.parent) as name:
        folder = Path(name) / "media"
        folder.mkdir()
        _write_media(descriptor, files, folder, progress)
        plain = Path(name) / "plain.zip"
        _write_zip(folder, plain)
        if receiver is not None:
            seal(plain, receiver, out)
        else:
            with storage_errors(out):
                plain.replace(out)
    return _exported(out, descriptor, files, sealed=receiver is not None)


def _kind(out: Path, *, sealed: bool) -> str:
    suffixes = "".join(out.suffixes[-2:]).lower()
    is_zip = suffixes.endswith(".zip")
    if sealed and not suffixes.endswith(f".zip{SUFFIX}"):
        raise InputError(
            f"{out} does not tell that it is encrypted", expected=f"a name that ends in .zip{SUFFIX}, for --encrypt-to"
        )
    if not sealed and suffixes.endswith(SUFFIX):
        raise InputError(f"{out} would not be encrypted", remedy="Name the receiver's public key with --encrypt-to.")
    if (is_zip or sealed) and out.exists():
        raise InputError(
            f"{out} exists already", expected="a file that is new", remedy="Name another one, or remove it."
        )
    return "file" if is_zip or sealed else "folder"


def _verified(model: LocalModel, progress: ProgressSink) -> ModelDescriptor:
    report = verify_object(model.descriptor_path, model.part_paths, progress=progress)
    if not report.holds or report.descriptor is None:
        wrong = " ".join(check.sentence for check in report.checks if not check.holds)
        raise IntegrityError(
            f"the model does not hold, so it is not given away: {wrong}",
            remedy="Fetch it again; if it stays so, ask whoever packed it.",
        )
    return report.descriptor


def _write_media(descriptor: ModelDescriptor, files: list[Path], folder: Path, progress: ProgressSink) -> None:
    """Instances, directory and card; then all of it is read again as a receiver would."""
    total = sum(path.stat().st_size for path in files)
    with storage_errors(folder):
        written = write_file_set(files, folder, counter("export", total, progress))
        (folder / PAGE).write_text(card_page(descriptor), encoding="utf-8")
        (folder / TEXT).write_text(card_text(descriptor), encoding="utf-8")
    check_directory(folder)
    report = verify_object(written[-1], written[:-1], progress=progress)
    if not report.holds:
        raise IntegrityError(
            f"what was written does not hold: {' '.join(report.sentences)}", remedy="The disk is faulty."
        )


def _write_zip(folder: Path, target: Path) -> None:
    """The media as a ZIP file (PS3.12 Annex V), instances stored as they are; every entry is read back."""
    with whole_file(target) as file, zipfile.ZipFile(file, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _FIXED_DATE)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as entry:
                while piece := source.read(1 << 20):
                    entry.write(piece)
    with opened_zip(target) as archive:
        list_zip(archive)
        damaged = archive.testzip()
    if damaged is not None:
        raise IntegrityError(f"{damaged} in the ZIP file is not what was written", remedy="The disk is faulty.")


def _exported(out: Path, descriptor: ModelDescriptor, files: list[Path], *, sealed: bool) -> Exported:
    return Exported(out, descriptor, len(files), sum(path.stat().st_size for path in files), sealed)
