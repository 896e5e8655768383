"""What is written by hand is what pynetdicom would have written and reads."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import split_dataset

from pacs_bridge.dimse import commands
from pacs_bridge.dimse.commands import Command
from pacs_bridge.part10 import write_header

UIDS = st.from_regex(r"\A[1-9][0-9]{0,5}(\.[1-9][0-9]{0,9}){1,5}\Z")


@given(UIDS, UIDS, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.text("abc xyz-(0)", max_size=80))
def test_a_response_is_encoded_as_the_library_encodes_it(
    sop_class: str, uid: str, message: int, status: int, comment: str
) -> None:
    asked = commands.request(Command.C_STORE_RQ, sop_class, message, data_set=True, AffectedSOPInstanceUID=uid)
    same = Dataset()
    same.AffectedSOPClassUID, same.AffectedSOPInstanceUID = sop_class, uid
    same.CommandField, same.MessageIDBeingRespondedTo = 0x8001, message
    same.CommandDataSetType, same.Status = 0x0101, status
    if comment:
        same.ErrorComment = comment[:64]

    assert commands.response(asked, status, comment) == commands.encoded(same)


@given(UIDS, UIDS, st.sampled_from(["", "MODALITY", "A"]))
def test_the_header_of_a_file_names_its_instance(
    tmp_path_factory: object, sop_class: str, uid: str, sender: str
) -> None:
    written = BytesIO()
    write_header(written, sop_class, uid, "1.2.840.10008.1.2.1", sender)
    path = Path(tmp_path_factory.getbasetemp()) / "header.dcm"  # type: ignore[attr-defined]
    path.write_bytes(written.getvalue())

    meta, offset = split_dataset(path)
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (sop_class, uid)
    assert meta.get("SendingApplicationEntityTitle", "") == sender
    assert offset == len(written.getvalue())


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (0x0100, b"\1\0\1"),
        (0x0100, b"\1\0\1\0"),
        (0x0100, b""),
        (0x0110, b"\1"),
        (0x0002, b"1.2\\1.3"),
        (0x0900, b"\0\0\0\0"),
    ],
)
def test_a_command_whose_values_are_garbled_is_none(number: int, value: bytes) -> None:
    content = commands.encoded(commands.request(Command.C_ECHO_RQ, "1.2.840.10008.1.1", 1, data_set=False))
    with pytest.raises(Exception, match=r"\S"):
        commands.decoded(content + b"\0\0" + number.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value)
