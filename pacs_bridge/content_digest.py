"""Whether two DICOM files hold the same data set, whatever their file meta information says.

The rule: doubt is a difference. Files of one transfer syntax with equal bytes are the same. Otherwise the data sets are
walked side by side and compared by tag and value bytes, because a server may write Implicit VR (private elements become
UN, PS3.5 6.2.2), choose other sequence lengths, or drop group lengths. No value is held in memory as a whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from iodeep.errors import InputError
from pacs_bridge._elements import PIXEL_DATA, DataSet, ElementReader, Header, MalformedError, open_data_set, tag_text

_CHUNK = 1 << 20
_DEEPEST = 64
_NATIVE = frozenset({str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)})
_TEXT = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI"})
"""VRs in which spaces around each value say nothing; in long texts the ones in front do."""
_LONGEST_TEXT = 1 << 16
_PADDING = frozenset({b" ", b"\0"})


@dataclass(frozen=True)
class Difference:
    """Where two data sets part, and how, in words; without values, which may be a patient's."""

    where: str
    how: str

    def __str__(self) -> str:
        return f"{self.where}: {self.how}"


def content_digest(path: Path) -> str:
    """SHA-256 over the bytes of the data set in hexadecimal; the file meta information doesn't count.

    Equal digests mean equal content under one transfer syntax; raises :class:`~iodeep.errors.InputError`.
    """
    digest = hashlib.sha256()
    try:
        with open_data_set(path) as data_set:
            while chunk := data_set.file.read(_CHUNK):
                digest.update(chunk)
    except MalformedError as error:
        raise InputError(f"{path} is not a DICOM file that can be read: {error.problem}") from error
    return digest.hexdigest()


def same_content(local: Path, retrieved: Path) -> Difference | None:
    """The first difference between what we have and what an archive gave back, or None.

    Raises :class:`~iodeep.errors.InputError` where the local file is not DICOM; a retrieved one that isn't is a
    difference.
    """
    try:
        with open_data_set(local) as ours, open_data_set(retrieved) as theirs:
            return _difference(ours, theirs)
    except MalformedError as error:
        if error.path == retrieved:
            return Difference("the file", f"the archive gave back something malformed: {error.problem}")
        raise InputError(f"{local} is not a DICOM file that can be read: {error.problem}") from error


def _difference(ours: DataSet, theirs: DataSet) -> Difference | None:
    same_syntax = ours.transfer_syntax == theirs.transfer_syntax
    if same_syntax and _same_bytes(ours, theirs):
        return None
    if not same_syntax and not {ours.transfer_syntax, theirs.transfer_syntax} <= _NATIVE:
        changed = (
            f"re-encoded from {_syntax_name(ours)} to {_syntax_name(theirs)}, which cannot be compared byte by byte"
        )
        return Difference("the data set", changed)
    if not _walkable(ours):
        return Difference("the data set", f"its bytes differ ({_syntax_name(ours)})")
    return _data_sets(_reader(ours), _reader(theirs), (ours.size, theirs.size), ())


def _same_bytes(ours: DataSet, theirs: DataSet) -> bool:
    """Compare to the end; both are put back to where they were."""
    starts = ours.file.tell(), theirs.file.tell()
    same = ours.length == theirs.length and _equal(ours, theirs, ours.length)
    ours.file.seek(starts[0])
    theirs.file.seek(starts[1])
    return same


def _equal(ours: DataSet | ElementReader, theirs: DataSet | ElementReader, length: int) -> bool:
    while length > 0:
        chunk = ours.file.read(min(_CHUNK, length))
        if not chunk or chunk != theirs.file.read(len(chunk)):
            return False
        length -= len(chunk)
    return True


def _walkable(data_set: DataSet) -> bool:
    syntax = UID(data_set.transfer_syntax)
    return not syntax.is_private and syntax.is_transfer_syntax and syntax.is_little_endian and not syntax.is_deflated


def _syntax_name(data_set: DataSet) -> str:
    return str(UID(data_set.transfer_syntax).name)


def _reader(data_set: DataSet) -> ElementReader:
    implicit = data_set.transfer_syntax == str(ImplicitVRLittleEndian)
    return ElementReader(data_set.file, data_set.path, implicit, data_set.size)


Ends = tuple[int | None, int | None]


def _data_sets(ours: ElementReader, theirs: ElementReader, ends: Ends, above: tuple[str, ...]) -> Difference | None:
    while True:
        left, right = ours.next_element(ends[0]), theirs.next_element(ends[1])
        if left is None and right is None:
            return None
        if left is None or (right is not None and right.tag < left.tag):
            return Difference(_where(above, right), "the archive added it")
        if right is None or left.tag < right.tag:
            return Difference(_where(above, left), "the archive lost it")
        if found := _elements(ours, theirs, left, right, (*above, tag_text(left.tag))):
            return found


def _elements(
    ours: ElementReader, theirs: ElementReader, left: Header, right: Header, where: tuple[str, ...]
) -> Difference | None:
    if left.is_sequence or right.is_sequence:
        return _sequences(ours.within(left), theirs.within(right), (ours.end_of(left), theirs.end_of(right)), where)
    if left.tag == PIXEL_DATA and left.length is None and right.length is None:
        return _fragments(ours, theirs, where)
    return _values(ours, theirs, left, right, where)


def _sequences(ours: ElementReader, theirs: ElementReader, ends: Ends, where: tuple[str, ...]) -> Difference | None:
    if len(where) > _DEEPEST:
        raise MalformedError(ours.path, f"sequences nested deeper than {_DEEPEST}")
    number = 0
    while True:
        left, right = ours.next_item(ends[0]), theirs.next_item(ends[1])
        if left is None and right is None:
            return None
        if left is None or right is None:
            return Difference(_where(where), f"the archive {'lost' if right is None else 'added'} item {number + 1}")
        number += 1
        inside = (*where[:-1], f"{where[-1]}[{number}]")
        if found := _data_sets(ours, theirs, (ours.end_of(left), theirs.end_of(right)), inside):
            return found


def _fragments(ours: ElementReader, theirs: ElementReader, where: tuple[str, ...]) -> Difference | None:
    """Encapsulated pixel data: an offset table and fragments, each compared as it is (PS3.5 A.4)."""
    while True:
        left, right = ours.next_item(None), theirs.next_item(None)
        if left is None and right is None:
            return None
        if left is None or right is None:
            return Difference(_where(where), "the archive changed the number of its fragments")
        if found := _values(ours, theirs, left, right, where):
            return found


def _values(
    ours: ElementReader, theirs: ElementReader, left: Header, right: Header, where: tuple[str, ...]
) -> Difference | None:
    """Equal bytes; a value of odd length may have got the padding byte that PS3.5 6.2 asks for."""
    if left.length is None or right.length is None:
        return Difference(_where(where), "encapsulated in one and not in the other")
    if _same_text(ours, theirs, left, right):
        return None
    padded = left.length % 2 == 1 and right.length == left.length + 1
    if left.length != right.length and not padded:
        return Difference(_where(where), f"{left.length} bytes were sent, the archive has {right.length}")
    if not _equal(ours, theirs, left.length) or (padded and theirs.file.read(1) not in _PADDING):
        return Difference(_where(where), f"the value ({left.length} bytes) was altered")
    return None


def _same_text(ours: ElementReader, theirs: ElementReader, left: Header, right: Header) -> bool:
    """Whether both are text that differs at most in the spaces that PS3.5 6.2 calls insignificant.

    Archives write such values anew. Where it is False, both readers are back at the start of the values.
    """
    if (left.vr or right.vr) not in _TEXT or max(left.length or 0, right.length or 0) > _LONGEST_TEXT:
        return False
    starts = ours.file.tell(), theirs.file.tell()
    if _significant(ours.file.read(left.length or 0)) == _significant(theirs.file.read(right.length or 0)):
        return True
    ours.file.seek(starts[0])
    theirs.file.seek(starts[1])
    return False


def _significant(value: bytes) -> list[bytes]:
    return [part.strip(b" \0") for part in value.split(b"\\")]


def _where(above: tuple[str, ...], header: Header | None = None) -> str:
    return " > ".join((*above, tag_text(header.tag)) if header else above)
