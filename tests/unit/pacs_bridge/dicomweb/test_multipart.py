"""Parts come out as they went in, wherever the chunks fall; an end that is missing is an error."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iodeep.errors import InputError
from pacs_bridge.dicomweb.multipart import MultipartError, Outgoing, PartReader, parameters_of


def _chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def _parts(body: bytes, boundary: str, chunk: int = 1 << 20) -> list[bytes]:
    reader = PartReader(_chunks(body, chunk), boundary)
    parts = []
    while reader.next_part() is not None:
        parts.append(b"".join(reader.body()))
    return parts


@given(contents=st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=4), chunk=st.integers(1, 300))
@example(contents=[b"\r\n--", b"\r\n\r\n--", b"\r"], chunk=1)
def test_what_was_sent_is_read_wherever_the_chunks_fall(contents: list[bytes], chunk: int) -> None:
    with TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}") for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        counted: list[int] = []
        outgoing = Outgoing(paths, counted.append)
        body = b"".join(outgoing)
        assert len(body) == len(outgoing)
        assert sum(counted) == sum(map(len, contents))
        assert _parts(body, outgoing.boundary, chunk) == contents
        assert parameters_of(outgoing.content_type) == (
            "multipart/related",
            {"type": "application/dicom", "boundary": outgoing.boundary},
        )


@given(cut=st.integers(1, 60), chunk=st.integers(1, 80))
def test_a_body_cut_anywhere_before_its_final_boundary_is_an_error(cut: int, chunk: int) -> None:
    body = b"--B\r\nContent-Type: application/dicom\r\n\r\nweights of a network\r\n--B--"
    with pytest.raises(MultipartError, match="final boundary"):
        _parts(body[:-cut], "B", chunk)


def test_a_preamble_padding_and_an_epilogue_are_passed_over() -> None:
    assert _parts(b"hello\r\n--B \t\r\n\r\none\r\n--B\r\nX: y\r\n\r\ntwo\r\n--B--\r\nbye", "B") == [b"one", b"two"]


def test_header_names_are_in_lower_case() -> None:
    reader = PartReader([b"--B\r\nCONTENT-type: application/dicom\r\nX-Y: z\r\n\r\none\r\n--B--"], "B")
    assert reader.next_part() == {"content-type": "application/dicom", "x-y": "z"}


@pytest.mark.parametrize("body", [b"--Bogus\r\n\r\none\r\n--B--", b"--B\r\n" + b"x" * 20000])
def test_what_is_no_multipart_is_an_error(body: bytes) -> None:
    with pytest.raises(MultipartError):
        _parts(body, "B")


def test_a_part_of_any_size_is_read_in_bounded_memory() -> None:
    chunk = bytes(1 << 16)
    body = chain([b"--B\r\n\r\n"], repeat(chunk, 512), [b"\r\n--B--"])
    reader = PartReader(body, "B")
    reader.next_part()
    tracemalloc.start()
    try:
        assert sum(map(len, reader.body())) == 512 * len(chunk)
        assert tracemalloc.get_traced_memory()[1] < 16 * len(chunk)
    finally:
        tracemalloc.stop()


def test_a_file_that_shrinks_while_it_is_sent_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(bytes(3 << 20))
    body = iter(Outgoing([path], lambda _: None))
    next(body)
    next(body)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="shorter"):
        list(body)


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(Outgoing([tmp_path / "gone"], lambda _: None))
