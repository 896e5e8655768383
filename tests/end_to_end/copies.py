"""The sample head under UIDs of its own, for tests that write results."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.uid import UID

HEAD = Path(__file__).resolve().parents[2] / "sample_data" / "mr-head"


@dataclass(frozen=True)
class Copy:
    """A series in files."""

    study: str
    series: str
    paths: tuple[Path, ...]


def copied_head(folder: Path) -> Copy:
    """The series as another patient's, under UIDs that nobody has used."""
    folder.mkdir(parents=True)
    study, series, token = _uid(), _uid(), uuid.uuid4().hex[:8].upper()
    paths = []
    for source in sorted(HEAD.glob("*.dcm")):
        image = pydicom.dcmread(source)
        for tag in [tag for tag in image.keys() if tag.group == 0]:  # noqa: SIM118 - a data set iterates over elements
            del image[tag]  # one of the files has a Group Length of the command set
        image.PatientID, image.PatientName = token, f"COPY^{token}"
        image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID = study, series, _uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        paths.append(folder / source.name)
        image.save_as(paths[-1])
    return Copy(study, series, tuple(paths))


def _uid() -> UID:
    return UID(f"2.25.{uuid.uuid4().int}")
