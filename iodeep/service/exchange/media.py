"""A model as DICOM media: a File-set with its DICOMDIR (PS3.10 8, PS3.3 Annex F), each instance byte for byte as it was.

The directory is made from headers alone, and instances are copied as streams: a payload of any size takes no memory.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian

from iodeep.errors import IntegrityError, IODeepError, ObjectError
from iodeep.model_object.dicom_file import read_header
from pacs_bridge.content_digest import same_content
from pacs_bridge.part10 import read_instance, rewritten

DIRECTORY = "DICOMDIR"
RECORD_TYPE = "RAW DATA"
"""Directory Record Type (0004,1430) of an instance of Raw Data Storage (PS3.3 F.4)."""
MAX_DIRECTORY_BYTES = 24 << 20
"""Records of the most parts that a model has take 14 MiB."""
_FILE_ID = re.compile(r"[A-Z0-9_]{1,8}")


def write_file_set(files: Sequence[Path], folder: Path, advance: Callable[[int], None] = lambda _: None) -> list[Path]:
    """A File-set of the instances in the empty ``folder``; the files of them, in the order given.

    File IDs are as PS3.10 8.2 and the general purpose profiles of PS3.11 Annex D ask; data sets are Explicit VR Little
    Endian: one that an archive gave in Implicit VR is written anew with the same values.
    """
    file_set = FileSet()
    file_set.ID = "IODEEP"
    sources: dict[str, Path] = {}
    for path in files:
        instance = read_instance(path)
        file_set.add(_header_of(path))
        sources[instance.uid] = path
    file_set.write(folder)
    file_set._stage["t"].cleanup()  # its staging folder; pydicom leaves it to the garbage collector, which warns
    places = {str(each.SOPInstanceUID): Path(each.path) for each in file_set}
    for uid, source in sources.items():
        _copy(source, places[uid])
        advance(source.stat().st_size)
    return [places[uid] for uid in sources]


def check_directory(folder: Path) -> None:
    """What a DICOMDIR in ``folder`` names has to be there, under the UID that it says; ObjectError names what is not.

    A folder without one is no error: the model's own manifest says what belongs to it.
    """
    if not (folder / DIRECTORY).is_file():
        return
    for uid, file_id in _entries(folder / DIRECTORY):
        path = folder.joinpath(*file_id)
        if not path.is_file():
            raise ObjectError(
                f"the media is not whole: {'/'.join(file_id)} is missing",
                expected=f"every file that its {DIRECTORY} names",
                found=f"no instance {uid}",
                remedy="Ask the hospital that gave it for a complete copy.",
            )
        found = read_header(path).text("SOPInstanceUID")
        if found != uid:
            raise IntegrityError(
                f"{'/'.join(file_id)} is not the instance that the {DIRECTORY} names",
                expected=uid,
                found=found or "none",
                remedy="Ask the hospital that gave it for a complete copy.",
            )


def _entries(directory: Path) -> list[tuple[str, tuple[str, ...]]]:
    """SOP Instance UID and File ID of each record that references a file."""
    if directory.stat().st_size > MAX_DIRECTORY_BYTES:
        raise ObjectError(f"the {DIRECTORY} is too large", expected=f"at most {MAX_DIRECTORY_BYTES >> 20} MiB")
    try:
        records = dcmread(directory).get("DirectoryRecordSequence") or []
        return [_entry(record) for record in records if "ReferencedFileID" in record]
    except IODeepError:
        raise
    except Exception as error:  # boundary: pydicom raises whatever a damaged file makes it raise
        raise ObjectError(
            f"the {DIRECTORY} cannot be read: {error}", remedy="Ask the hospital that gave it for a complete copy."
        ) from error


def _entry(record: Dataset) -> tuple[str, tuple[str, ...]]:
    value = record.ReferencedFileID
    file_id = (value,) if isinstance(value, str) else tuple(map(str, value))
    if not 1 <= len(file_id) <= 8 or not all(_FILE_ID.fullmatch(part) for part in file_id):
        raise ObjectError(
            f"the {DIRECTORY} names a file outside the media or by a name that media do not have",
            expected="one to eight components of A-Z, 0-9 and _ (PS3.10 8.2)",
            found=repr("/".join(file_id))[:200],
            remedy="Do not use this media.",
        )
    return str(record.get("ReferencedSOPInstanceUIDInFile", "")), file_id


def _header_of(path: Path) -> Dataset:
    """What directory records are made of, as an instance of its own that holds nothing else."""
    header = read_header(path)
    dataset = Dataset()
    for keyword in _RECORD_TAGS:
        if keyword in header.dataset:
            dataset[keyword] = header.dataset[keyword]
    # Type 1 in the record (PS3.3 F.5.2), Type 2 in the study: a release has a date alone.
    dataset.StudyTime = header.text("StudyTime") or "000000"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


_RECORD_TAGS = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "StudyTime",
    "ContentDate",
    "ContentTime",
    "AccessionNumber",
    "Modality",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyID",
    "SeriesNumber",
    "InstanceNumber",
)


def _copy(source: Path, target: Path) -> None:
    """The instance as it is, or in Explicit VR; whatever is written is read again and compared."""
    target.unlink()
    instance = read_instance(source)
    if instance.transfer_syntax == ExplicitVRLittleEndian:
        shutil.copyfile(source, target)
    else:
        rewritten(instance, str(ExplicitVRLittleEndian), target)
    different = same_content(source, target)
    if different is not None:
        raise IntegrityError(
            f"{source.name} is not on the disk as it was read: {different}", remedy="The disk is faulty."
        )
