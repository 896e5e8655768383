"""The self-test: a small input and what the network made of it, as deterministic bytes without pickle.

Encoded as a ZIP of ``.npy`` arrays and one JSON document with fixed dates, so that equal self-tests have equal bytes.
When decoding, every size is known and bounded before it is allocated.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from iodeep.errors import InputError, ObjectError
from iodeep.model_object.manifest import canonical_json
from iodeep.terms import Code
from iodeep.volume import Volume

MAX_ENCODED_BYTES = 32 << 20
MAX_DECODED_BYTES = 128 << 20
MAX_OVERHEAD_BYTES = 1 << 20
"""For the arrays' headers and the document."""
MAX_ARRAYS = 64
DOCUMENT = "self_test.json"
INPUT_TYPES = ("<i2", "|u1", "<f4")
LABEL_TYPES = ("|u1", "<u2")
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class ExpectedClass:
    """The probability that a classification head gave to one class."""

    head: str
    """:attr:`iodeep.card.ClassificationOutput.name`"""
    code: Code
    probability: float


@dataclass(frozen=True)
class SelfTest:
    """Inputs by the card's input names, and the output that was recorded when the model was packed.

    ``inputs``: int16, uint8 or float32 voxels with axes (slice, row, column), and their affine. ``labels`` or ``masks``
    as in :class:`iodeep.prediction.Segmentation`; at most one of the two, neither for a network that only classifies.
    ``mean_foreground_probability``: mean over all voxels of the largest segment's probability, where recorded.
    """

    inputs: Mapping[str, Volume]
    labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None
    masks: npt.NDArray[np.bool_] | None = None
    classes: tuple[ExpectedClass, ...] = ()
    mean_foreground_probability: float | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise InputError(f"the self-test is not one: {problem}", remedy="Record it again.")

    @property
    def expected_sha256(self) -> str | None:
        """Digest of the expected segmentation, by :func:`segmentation_sha256`; None where nothing is segmented."""
        return segmentation_sha256(self.labels, self.masks)

    def encode(self) -> bytes:
        """Deterministic bytes; InputError where they are too many for a descriptor."""
        size = sum(array.nbytes for array in _arrays(self).values())
        _check_size("self-test", size, MAX_DECODED_BYTES - MAX_OVERHEAD_BYTES, InputError)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            _add(archive, DOCUMENT, canonical_json(_document(self)))
            for name, array in _arrays(self).items():
                _add(archive, name, _npy(array))
        encoded = stream.getvalue()
        _check_size("encoded self-test", len(encoded), MAX_ENCODED_BYTES, InputError)
        return encoded

    @classmethod
    def decode(cls, encoded: bytes, origin: str = "the object") -> SelfTest:
        """The self-test of bytes that came from outside; anything odd or too large is an ObjectError."""
        _check_size(f"self-test of {origin}", len(encoded), MAX_ENCODED_BYTES, ObjectError)
        try:
            with zipfile.ZipFile(io.BytesIO(encoded)) as archive:
                return _decoded(_members(archive, origin))
        except ObjectError:
            raise
        except Exception as error:  # boundary: zipfile, zlib and numpy raise whatever damaged bytes make them raise
            raise _malformed(origin, str(error)) from error


def segmentation_sha256(
    labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None, masks: npt.NDArray[np.bool_] | None
) -> str | None:
    """Digest of a segmentation's content: shape and values, whatever integer type holds the labels."""
    array = labels if labels is not None else masks
    if array is None:
        return None
    content = np.ascontiguousarray(array, dtype="<u2" if labels is not None else "|u1")
    digest = hashlib.sha256(canonical_json({"kind": "labels" if labels is not None else "masks", "shape": array.shape}))
    digest.update(content.tobytes())
    return digest.hexdigest()


def _problem(test: SelfTest) -> str | None:
    if not test.inputs:
        return "it has no input"
    shapes = {volume.voxels.shape for volume in test.inputs.values()}
    if any(len(shape) != 3 or 0 in shape for shape in shapes):
        return "an input does not have three axes"
    if any(_dtype(volume.voxels) not in INPUT_TYPES for volume in test.inputs.values()):
        return "an input is not int16, uint8 or float32"
    if any(volume.affine.shape != (4, 4) or not np.isfinite(volume.affine).all() for volume in test.inputs.values()):
        return "an affine is not 4 x 4 finite numbers"
    if any(volume.voxels.dtype.kind == "f" and not np.isfinite(volume.voxels).all() for volume in test.inputs.values()):
        return "an input holds values that are not finite"
    if test.labels is not None and test.masks is not None:
        return "it expects labels and masks"
    if test.labels is None and test.masks is None and not test.classes:
        return "it expects nothing"
    return _expectation_problem(test)


def _expectation_problem(test: SelfTest) -> str | None:
    grid = next(iter(test.inputs.values())).voxels.shape
    if test.labels is not None and (test.labels.shape != grid or _dtype(test.labels) not in LABEL_TYPES):
        return "its labels are not uint8 or uint16 on the first input's grid"
    if test.masks is not None and (test.masks.shape[1:] != grid or test.masks.dtype != np.bool_ or not len(test.masks)):
        return "its masks are not booleans on the first input's grid"
    probabilities = [expected.probability for expected in test.classes]
    if test.mean_foreground_probability is not None:
        probabilities.append(test.mean_foreground_probability)
    if not all(0 <= probability <= 1 for probability in probabilities):
        return "a probability is not between 0 and 1"
    return None


def _dtype(array: npt.NDArray[Any]) -> str:
    return array.dtype.newbyteorder("<").str


def _document(test: SelfTest) -> dict[str, Any]:
    return {
        "schema_version": "1",
        "inputs": list(test.inputs),
        "expects": "labels" if test.labels is not None else "masks" if test.masks is not None else None,
        "expected_sha256": test.expected_sha256,
        "classes": [
            {
                "head": expected.head,
                "value": expected.code.value,
                "scheme": expected.code.scheme,
                "meaning": expected.code.meaning,
                "probability": float(expected.probability),
            }
            for expected in test.classes
        ],
        "mean_foreground_probability": test.mean_foreground_probability,
    }


def _arrays(test: SelfTest) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, volume in test.inputs.items():
        arrays[f"input.{name}.npy"] = volume.voxels
        arrays[f"affine.{name}.npy"] = np.asarray(volume.affine, dtype="<f8")
    if test.labels is not None:
        arrays["labels.npy"] = test.labels
    if test.masks is not None:
        arrays["masks.npy"] = test.masks
    return arrays


def _npy(array: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    np.lib.format.write_array(stream, little, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _FIXED_DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o644 << 16
    archive.writestr(info, content, compresslevel=6)


def _members(archive: zipfile.ZipFile, origin: str) -> dict[str, bytes]:
    """Every member, read no further than its declared size, all of them together bounded before the first is read."""
    infos = archive.infolist()
    if len(infos) > MAX_ARRAYS or len({info.filename for info in infos}) != len(infos):
        raise _malformed(origin, "too many members, or two of one name")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise _malformed(origin, "a member is neither stored nor deflated")
    _check_size(f"self-test of {origin}", sum(info.file_size for info in infos), MAX_DECODED_BYTES, ObjectError)
    members: dict[str, bytes] = {}
    for info in infos:
        with archive.open(info) as member:
            members[info.filename] = member.read(info.file_size)
    return members


def _decoded(members: dict[str, bytes]) -> SelfTest:
    document = json.loads(members[DOCUMENT])
    expects = document["expects"]
    test = SelfTest(
        inputs={
            str(name): Volume(_array(members[f"input.{name}.npy"]), _array(members[f"affine.{name}.npy"]))
            for name in document["inputs"]
        },
        labels=_array(members["labels.npy"]) if expects == "labels" else None,
        masks=_array(members["masks.npy"]) if expects == "masks" else None,
        classes=tuple(_expected_class(entry) for entry in document["classes"]),
        mean_foreground_probability=document["mean_foreground_probability"],
    )
    if test.expected_sha256 != document["expected_sha256"]:
        raise ValueError("the expected output is not the one whose digest it names")
    return test


def _expected_class(entry: dict[str, Any]) -> ExpectedClass:
    code = Code(str(entry["value"]), str(entry["scheme"]), str(entry["meaning"]))
    return ExpectedClass(str(entry["head"]), code, float(entry["probability"]))


def _array(member: bytes) -> npt.NDArray[Any]:
    """An array whose declared shape is exactly as large as its bytes, so nothing is allocated on its word."""
    stream = io.BytesIO(member)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array is in another version of the .npy format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    start = stream.tell()
    if dtype.hasobject or fortran or math.prod(shape) * dtype.itemsize != len(member) - start:
        raise ValueError("an array's declared shape is not that of its bytes")
    return np.frombuffer(member, dtype=dtype, offset=start).reshape(shape)


def _check_size(subject: str, found: int, limit: int, kind: type[InputError] | type[ObjectError]) -> None:
    if found > limit:
        raise kind(
            f"the {subject} is too large",
            expected=f"at most {limit >> 20} MiB",
            found=f"{found} bytes",
            remedy="Record it on a smaller input: a few slices, cropped, are enough.",
        )


def _malformed(origin: str, reason: str) -> ObjectError:
    return ObjectError(
        f"the self-test of {origin} is malformed: {reason}", remedy="Ask whoever packed the model for a valid one."
    )
