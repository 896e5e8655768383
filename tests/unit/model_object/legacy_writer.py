"""The published prior art's object, rebuilt as its writer writes it, to show that it is recognised and refused.

Text in private-creator slots of group 0017, one UID for everything, which is also the data set's SOP Class UID, the
target modality in Modality, Implicit VR, the weights as base64 of ``torch.save``; with pydicom 2 no preamble.
"""

from __future__ import annotations

import base64
import io
import pickle
import zipfile
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ImplicitVRLittleEndian, generate_uid

ARCHITECTURE = (
    "{'input_shape': {'input_shape0': 1, 'input_shape1': 224, 'input_shape2': 224}, 'layers': ['conv', 'relu']}"
)

STATE_DICT_PICKLE = (
    b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x0b\x00\x00\x00conv.weightq\x02ctorch._utils\n_rebuild_tensor_v2\n"
    b"q\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05X\x01\x00\x00\x000q\x06X\x03\x00\x00\x00cpuq\x07K\x04tQ"
    b"K\x00(K\x02K\x02t(K\x02K\x01t\x89h\x00)Rtq\x08Rq\x09s."
)
"""What ``torch.save`` writes for a state dict with one tensor."""


class CreatesAFile:
    """A payload that leaves a trace wherever it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def torch_archive(state: bytes = STATE_DICT_PICKLE) -> bytes:
    """The ZIP that ``torch.save`` writes: the pickle and one file for each storage."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", state)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", bytes(16))
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def evil_pickle(trace: Path, protocol: int) -> bytes:
    """A pickle that writes ``trace`` when it is loaded."""
    return pickle.dumps(CreatesAFile(trace), protocol=protocol)


def write_legacy(path: Path, weights: bytes, *, preamble: bool = True) -> str:
    """Write the object; the one UID that stands everywhere."""
    uid = generate_uid()
    dataset = Dataset()
    dataset.SOPClassUID = uid
    dataset.SOPInstanceUID = uid
    dataset.Modality = "MR"
    dataset.ReferringPhysicianName = ""
    dataset.PatientName = ""
    dataset.PatientID = ""
    dataset.BodyPartExamined = "HEAD"
    dataset.StudyInstanceUID = uid
    dataset.SeriesInstanceUID = uid
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = 224
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.66")
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    whole = FileDataset("", dataset, file_meta=meta, preamble=bytes(128) if preamble else None)
    stream = io.BytesIO()
    dcmwrite(stream, whole, implicit_vr=True, little_endian=True)
    private = _element(0x0016, ARCHITECTURE.encode()) + _element(0x0018, base64.b64encode(weights))
    private += _element(0x0020, b"unet_mri") + _element(0x0022, uid.encode(), b"\0")
    header = stream.getvalue()
    place = header.index(b"\x18\x00\x15\x00")  # group 0017 comes before Body Part Examined (0018,0015)
    path.write_bytes(header[:place] + private + header[place:])
    return str(uid)


def _element(element: int, value: bytes, padding: bytes = b" ") -> bytes:
    value += padding * (len(value) % 2)
    return b"\x17\x00" + element.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value
