"""Image series and media: places that cannot be, codestreams that lie, bombs, files that are no files."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyrage
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from iodeep.errors import GeometryError, InputError, IODeepError, ObjectError
from iodeep.service.exchange.media import check_directory, write_file_set
from iodeep.service.exchange.unpacking import open_media
from iodeep.volume import find_series, open_series
from tests.hostile.mutating.dicom import bomb, parsed
from tests.hostile.zoo.ground import Ground
from tests.hostile.zoo.specimen import Cage
from tests.synthetic import write_multiframe

CAGE = Cage()


def _geometry(name: str, says: str, expected: type[IODeepError] = GeometryError, **overrides: Any) -> None:
    @CAGE.keep(f"series-{name}", "geometry: a series whose slices lie nowhere for sure", expected, says)
    def attack(ground: Ground) -> None:
        ground.series(overrides=overrides)
        ground.read()


_geometry("negative-spacing", "must be positive", PixelSpacing=["-1", "1"])
_geometry("zero-spacing", "must be positive", PixelSpacing=["0", "0"])
_geometry("spacing-of-atoms", "no scanner has", PixelSpacing=["1e-300", "1e-300"])
_geometry("no-orientation", "unit vectors", ImageOrientationPatient=["0", "0", "0", "0", "0", "0"])
_geometry("skewed-orientation", "unit vectors", ImageOrientationPatient=["1", "0", "0", "1", "0", "0"])
_geometry("flat-rescale", "Rescale Slope of 0", RescaleSlope="0")
_geometry("million-frames", "declares more pixels", InputError, NumberOfFrames=1_000_000)
_geometry("huge-rows", "65535 x 65535|4294836225", InputError, Rows=65535, Columns=65535)
_geometry("no-rows", "declares 0 x", InputError, Rows=0)
_geometry("seventeen-bits", "16 and 17", InputError, BitsStored=17)


@CAGE.keep(
    "series-not-a-number", "geometry: positions that are no numbers", GeometryError, "not made of numbers|garbled"
)
def _nan(ground: Ground) -> None:
    for path in ground.series():
        path.write_bytes(parsed(path.read_bytes()).with_(0x0028_0030, value=b"nan\\nan ").encoded())
    ground.read()


def _per_slice(name: str, says: str, change: Callable[[int], dict[str, Any]]) -> None:
    @CAGE.keep(f"series-{name}", "mixing: slices that do not belong together", GeometryError, says)
    def attack(ground: Ground) -> None:
        ground.series(per_slice=change)
        ground.read()


_per_slice("mixed-frames-of-reference", "frames of reference", lambda k: {"FrameOfReferenceUID": f"1.2.{k}"})
_per_slice("two-patients", "patients", lambda k: {"PatientID": f"P{k}"})
_per_slice("same-uid-other-content", "there twice", lambda _: {"SOPInstanceUID": "1.2.3"})
_per_slice("same-place", "position", lambda _: {"ImagePositionPatient": ["0", "0", "0"]})
_per_slice("missing-slice", "missing|spacing|even", lambda k: {"ImagePositionPatient": ["0", "0", f"{2 * k * k}"]})


def _compressed(ground: Ground, syntax: str, change: Callable[[bytes], bytes], **header: Any) -> None:
    """The first slice alone, its codestream changed."""
    path, *others = ground.series()
    for other in others:
        other.unlink()
    image = dcmread(path)
    image.compress(syntax, generate_instance_uid=False)
    length = int.from_bytes(image.PixelData[16:20], "little")
    image.PixelData = encapsulate([change(image.PixelData[20 : 20 + length])])
    for keyword, value in header.items():
        setattr(image, keyword, value)
    image.save_as(path)
    ground.read()


@CAGE.keep("rle-overflow", "memory: a run of RLE that goes on beyond its frame; what is too much is cut")
def _rle(ground: Ground) -> None:
    _compressed(ground, RLELossless, lambda frame: frame[:64] + b"\x81\xff" * 60_000)


@CAGE.keep(
    "rle-offsets", "memory: RLE segments that lie outside of their frame", InputError, "cannot be decoded|decodes to"
)
def _rle_offsets(ground: Ground) -> None:
    _compressed(ground, RLELossless, lambda frame: frame[:4] + b"\xff\xff\xff\x7f" * 15 + frame[64:])


@CAGE.keep("jpeg-2000-of-gigapixels", "memory: a codestream that says it is huge", InputError, "found 65535 x 65535")
def _j2k(ground: Ground) -> None:
    _compressed(
        ground, JPEG2000Lossless, lambda frame: frame.replace(b"\0\0\0\x30\0\0\0\x28", b"\0\0\xff\xff\0\0\xff\xff", 1)
    )


@CAGE.keep("jpeg-ls-of-gigapixels", "memory: a codestream that says it is huge", InputError, "found 65535 x 65535")
def _jls(ground: Ground) -> None:
    _compressed(ground, JPEGLSLossless, lambda frame: frame.replace(b"\0\x28\0\x30", b"\xff\xff\xff\xff", 1))


@CAGE.keep(
    "postscript-as-jpeg",
    "execution: PostScript where a codestream should be",
    InputError,
    "no JPEG|cannot be decoded|not what the header says",
)
def _postscript(ground: Ground) -> None:
    program = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 40\n(%pipe%touch {ground.canary.marker}) (w) file\n"
    _compressed(ground, JPEG2000Lossless, lambda _: program.encode() + b" " * (len(program) % 2))


@CAGE.keep(
    "inflating-series",
    "memory: a deflated file of kilobytes that inflates to gigabytes",
    InputError,
    "inflates to more than",
)
def _inflating(ground: Ground) -> None:
    path, *_ = ground.series()
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
    meta = int.from_bytes(content[140:144], "little")
    path.write_bytes(content[: 144 + meta] + bomb(80))
    (unreadable,) = find_series(path).unreadable
    raise InputError(unreadable.reason)


@CAGE.keep("pipe-among-files", "time: a named pipe in a folder, which nobody writes to; it is passed over")
def _pipe(ground: Ground) -> None:
    ground.series()
    os.mkfifo(ground.place / "series" / "0.dcm")
    (ground.place / "series" / "zero.dcm").symlink_to("/dev/zero")
    (ground.place / "series" / "round").symlink_to(ground.place / "series")
    assert ground.read().voxels.shape == (3, 40, 48)


@CAGE.keep("frames-of-frames", "confusion: two numbers of frames", IODeepError, "two numbers of frames|declares more")
def _frames(ground: Ground) -> None:
    voxels = np.arange(2 * 40 * 48, dtype=np.int16).reshape(2, 40, 48)
    path = write_multiframe(ground.place / "series", voxels, overrides={"NumberOfFrames": 1})
    open_series([path])


def _zip(name: str, says: str, entry: str | zipfile.ZipInfo, content: bytes = b"x") -> None:
    @CAGE.keep(f"zip-{name}", "writing: media whose entries lead elsewhere, or grow", ObjectError, says)
    def attack(ground: Ground) -> None:
        with zipfile.ZipFile(ground.place / "media.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(entry, content)
        open_media(ground.place / "media.zip", ground.out)


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info


_zip("upwards", "leads elsewhere", "../../evil")
_zip("absolute", "leads elsewhere", "/tmp/evil")
_zip("drive", "leads elsewhere", "C:\\evil")
_zip("nameless", "leads elsewhere", zipfile.ZipInfo(""))
_zip("turned-around", "leads elsewhere", "a\u202egnp.exe")
_zip("device", "leads elsewhere", "NUL")
_zip("link", "symbolic link", _link(), b"/etc/passwd")
_zip("bomb", "decompression bomb", "a", bytes(64 << 20))


@CAGE.keep(
    "zip-before-the-file",
    "reading: entries that lie before the file begins",
    IODeepError,
    "damaged|cannot be read|shares",
)
def _before(ground: Ground) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", b"x" * 400)
    content = bytearray(stream.getvalue())
    start = int.from_bytes(content[-6:-2], "little")
    content[-6:-2] = (start + 200).to_bytes(4, "little")
    (ground.place / "media.zip").write_bytes(content)
    open_media(ground.place / "media.zip", ground.out)


def _directory(ground: Ground, names: list[str]) -> Path:
    folder = ground.place / "media"
    folder.mkdir()
    write_file_set(ground.model.files, folder)
    directory = dcmread(folder / "DICOMDIR")
    records = [each for each in directory.DirectoryRecordSequence if "ReferencedFileID" in each]
    records[0].ReferencedFileID = names
    directory.save_as(folder / "DICOMDIR")
    return folder


@CAGE.keep(
    "dicomdir-upwards", "reading: a DICOMDIR that names files outside of the media", ObjectError, "outside the media"
)
def _upwards(ground: Ground) -> None:
    check_directory(_directory(ground, ["..", "CANARY", "SECRET"]))


@CAGE.keep("dicomdir-of-nothing", "reading: a DICOMDIR that names files that are not there", ObjectError, "is missing")
def _nothing(ground: Ground) -> None:
    check_directory(_directory(ground, ["NOTHING"]))


@CAGE.keep("sealed-and-cut", "reading: encrypted media without their end", IODeepError, "altered or is not whole")
def _cut(ground: Ground) -> None:
    identity = pyrage.x25519.Identity.generate()
    (ground.place / "key").write_text(str(identity), encoding="ascii")
    (ground.place / "media.zip.age").write_bytes(pyrage.encrypt(bytes(200_000), [identity.to_public()])[:150_000])
    open_media(ground.place / "media.zip.age", ground.out, key=ground.place / "key")
