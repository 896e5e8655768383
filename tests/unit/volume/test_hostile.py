"""Damaged and hostile files end in one clear error, before memory is taken for what they claim."""

from __future__ import annotations

import contextlib
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from iodeep.errors import GeometryError, InputError, IODeepError
from iodeep.volume import find_series, image_file, open_series
from tests.synthetic import Overrides, write_multiframe, write_series

VOXELS = np.arange(2 * 64 * 80, dtype=np.int16).reshape(2, 64, 80)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, "4294836225|65535 x 65535"),
        ({"Rows": 8000, "Columns": 8000}, "expected 128,000,000 bytes .* found 10,240"),
        ({"Rows": 65}, "declares more pixels than it holds"),
        ({"Rows": 0}, "declares 0 x 80"),
        ({"BitsAllocated": 64, "BitsStored": 64}, "64 and 64"),
        ({"BitsStored": 17}, "16 and 17"),
        ({"BitsStored": None}, "does not say BitsStored"),
        ({"PixelRepresentation": None}, "signed"),
        ({"NumberOfFrames": 1000000}, "declares more pixels than it holds"),
        ({"NumberOfFrames": -1}, "declares -1 frames"),
        ({"NumberOfFrames": ["1", "2"]}, "how many frames"),
        ({"PixelRepresentation": [0, 1]}, "signed"),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_allocated(
    tmp_path: Path, overrides: Overrides, reason: str
) -> None:
    paths = write_series(tmp_path, VOXELS, overrides=overrides)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=reason):
            open_series(paths).read_volume()
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"PixelSpacing": ["1e-300", "1e-300"]}, "no scanner has such"),
        ({"PixelSpacing": ["1e9", "1e9"]}, "no scanner has such"),
        ({"PixelSpacing": ["-1", "1"]}, "must be positive"),
        ({"ImagePositionPatient": ["0", "0", "1e300"]}, "nowhere near"),
    ],
)
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, overrides: Overrides, reason: str) -> None:
    with pytest.raises(GeometryError, match=reason):
        open_series(write_series(tmp_path, VOXELS[:1], overrides=overrides))


def recompressed(path: Path, frames: list[bytes], **header: object) -> Path:
    """The file with other compressed frames."""
    ds = dcmread(path)
    ds.PixelData = encapsulate(frames)
    for keyword, value in header.items():
        setattr(ds, keyword, value)
    ds.save_as(path)
    return path


def compressed(folder: Path, syntax: str) -> tuple[Path, bytes]:
    path = write_series(folder, VOXELS[:1], modality="MR")[0]
    ds = dcmread(path)
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path)
    (length,) = np.frombuffer(ds.PixelData[16:20], "<u4")
    return path, ds.PixelData[20 : 20 + length]


def test_a_frame_that_claims_another_size_is_not_decoded(tmp_path: Path) -> None:
    path, frame = compressed(tmp_path, JPEG2000Lossless)
    huge = frame.replace(b"\x00\x00\x00\x50\x00\x00\x00\x40", b"\x00\x00\xff\xff\x00\x00\xff\xff", 1)
    assert huge != frame
    with pytest.raises(InputError, match="expected 64 x 80 pixels; found 65535 x 65535"):
        open_series([recompressed(path, [huge])]).read_volume()


def test_a_jpeg_frame_that_claims_another_size_is_not_decoded(tmp_path: Path) -> None:
    path, frame = compressed(tmp_path, JPEGLSLossless)
    huge = frame.replace(b"\x00\x40\x00\x50", b"\xff\xff\xff\xff", 1)
    assert huge != frame
    with pytest.raises(InputError, match="found 65535 x 65535"):
        open_series([recompressed(path, [huge])]).read_volume()


def test_few_bytes_do_not_become_gigabytes(tmp_path: Path) -> None:
    path, frame = compressed(tmp_path, RLELossless)
    recompressed(path, [frame], Rows=8000, Columns=8000)
    several = [path]
    for number in range(3):
        copy = tmp_path / f"copy{number}.dcm"
        ds = dcmread(path)
        ds.SOPInstanceUID = f"1.2.{number + 1}"
        ds.ImagePositionPatient = [0, 0, 2 * number + 2]
        ds.save_as(copy)
        several.append(copy)
    with pytest.raises(InputError, match="256,000,000 voxels but holds only"):
        open_series(several)


def test_frames_that_are_not_there_are_missed(tmp_path: Path) -> None:
    path = write_multiframe(tmp_path, VOXELS)
    ds = dcmread(path)
    ds.compress(RLELossless, generate_instance_uid=False)
    (length,) = np.frombuffer(ds.PixelData[20:24], "<u4")
    ds.PixelData = encapsulate([ds.PixelData[24 : 24 + length]])
    ds.save_as(path)
    with pytest.raises(InputError, match="expected 2 frames; found 1"):
        open_series([path])


@pytest.mark.parametrize("keep", [-1, -8, -40])
def test_truncated_compressed_pixels_are_told(tmp_path: Path, keep: int) -> None:
    path, _ = compressed(tmp_path, JPEG2000Lossless)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="truncated"):
        open_series([path])


def test_a_frame_of_garbage_names_its_file(tmp_path: Path) -> None:
    path, frame = compressed(tmp_path, JPEGLSLossless)
    garbled = frame[:60] + b"\xff\xd9"
    with pytest.raises(InputError, match=r"0000\.dcm cannot be decoded"):
        open_series([recompressed(path, [garbled])]).read_volume()


def test_a_file_that_changed_since_it_was_opened_is_not_read(tmp_path: Path) -> None:
    path = write_series(tmp_path, VOXELS[:1])[0]
    series = open_series([path])
    path.write_bytes(path.read_bytes() + b"\0\0")
    with pytest.raises(InputError, match="has changed"):
        series.read_volume()


def test_a_deflated_file_that_inflates_without_bound_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_file, "_INFLATE_LIMIT", 1 << 22)
    path = write_series(tmp_path, VOXELS[:1])[0]
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path)
    assert open_series([path]).read_volume().voxels.shape == (1, 64, 80)
    content = path.read_bytes()
    (meta,) = np.frombuffer(content[140:144], "<u4")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(content[: 144 + meta] + deflater.compress(bytes(1 << 23)) + deflater.flush())
    assert "inflates to more than" in find_series(path).unreadable[0].reason


def test_few_bytes_do_not_inflate_to_much(tmp_path: Path) -> None:
    path = write_series(tmp_path, VOXELS[:1])[0]
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
    (meta,) = np.frombuffer(content[140:144], "<u4")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(content[: 144 + meta] + deflater.compress(bytes(80 << 20)) + deflater.flush())
    assert "inflates to more than" in find_series(path).unreadable[0].reason


def test_an_attribute_that_cannot_be_converted_refuses_the_series(tmp_path: Path) -> None:
    path = write_series(tmp_path, VOXELS[:1], modality="MR")[0]
    content = path.read_bytes()
    at = content.index(b"\x18\0\x50\0DS")  # Slice Thickness
    path.write_bytes(content[: at + 4] + b"ZZ" + content[at + 6 :])
    with pytest.raises(GeometryError, match="garbled"):
        open_series([path])


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # it warns of what the bytes say
@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_damage_ends_in_a_volume_or_in_one_clear_error(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_series(Path(folder), VOXELS, modality=data.draw(st.sampled_from(["CT", "MR"])))
        if data.draw(st.booleans()):
            ds = dcmread(paths[0])
            ds.compress(data.draw(st.sampled_from([RLELossless, JPEGLSLossless])), generate_instance_uid=False)
            ds.save_as(paths[0])
        content = bytearray(paths[0].read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
        paths[0].write_bytes(content)
        with contextlib.suppress(IODeepError):
            for found in find_series(Path(folder)):
                assert np.isfinite(open_series(found).read_volume().voxels).all()
