"""Image series: attributes that place slices, lengths of pixels, codestreams, transfer syntaxes; read to voxels and to facts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from iodeep.errors import InputError
from iodeep.selection import facts_of_headers
from iodeep.volume import find_series, open_series
from tests.hostile.canary import Canary
from tests.hostile.judging import Mutant, WrongError
from tests.hostile.kinds.folders import emptied, written
from tests.hostile.mutating import octets
from tests.hostile.mutating.dicom import UNDEFINED, File, Spoiler, bomb, parsed
from tests.synthetic import write_multiframe, write_series

VOXELS = np.arange(3 * 40 * 48, dtype=np.int16).reshape(3, 40, 48)
SYNTAXES = (ExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian)
PIXELS, ROWS = 0x7FE0_0010, 0x0028_0010
GEOMETRY = (
    0x0020_0032, 0x0020_0037, 0x0028_0030, 0x0018_0050, 0x0028_0010, 0x0028_0011, 0x0028_0008, 0x0028_0002, 0x0028_0100,
    0x0028_0101, 0x0028_0102, 0x0028_0103, 0x0028_1052, 0x0028_1053, 0x0028_0004, 0x0020_0052, 0x0020_0013, 0x5200_9229,
    0x5200_9230, 0x0020_000E, 0x0020_000D, 0x0008_0018, 0x0008_0060, 0x0018_0015, 0x0008_103E, 0x0008_0008,
)  # fmt: skip
NUMBERS = (
    b"0", b"-1", b"1e-30", b"1e30", b"nan", b"inf", b"-inf", b"1e999", b"0\\0\\0", b"nan\\nan\\nan", b"1\\0\\0\\1\\0\\0",
    b"1\\0\\0\\0\\-1\\0", b"0\\0", b"-1\\-1", b"1e-300\\1e-300", b"9" * 16, b"1\\2\\3\\4\\5\\6\\7", b"", b"x", b"1,5",
    b"\0\0", b"\xff\xff", b"\x01\0", b"\0\x80", b"\x40\0", b"\x08\0",
)  # fmt: skip


@dataclass
class Series:
    """A CT series, an Enhanced MR image, in several transfer syntaxes."""

    bases: tuple[Mutant, ...]
    spoiler: Spoiler
    folder: Path
    memory_mib: int = 300

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Nothing stays."""
        return (self.folder / "tmp",)

    def mutant(self, random: Random) -> Mutant:
        """A series of which one file, or the same attribute of all, is spoilt."""
        files = dict(random.choice(self.bases))
        how = random.random()
        if how < 0.45:
            return _geometry(files, random)
        name = random.choice(sorted(files))
        if how < 0.65:
            files[name] = _pixels(files[name], random)
        elif how < 0.67:
            meta = _body_at(files[name])
            files[name] = files[name][:meta] + bomb(random.choice((1, 80, 700)))
        elif _deflated(files[name]):
            files[name] = octets.spoilt(files[name], random)
        else:
            files[name] = self.spoiler.spoilt(files[name], random)
        return files

    def receive(self, mutant: Mutant) -> bool:
        """All that is done with the files of an unknown series."""
        into = written(self.folder / "in", mutant)
        scan = find_series(into)
        for found in scan:
            facts_of_headers(found.headers)
            voxels = open_series(found).read_volume()
            if not np.isfinite(voxels.voxels).all() or not np.isfinite(voxels.affine).all():
                raise WrongError("a volume that is not finite")
            if abs(np.linalg.det(voxels.affine[:3, :3])) < 1e-9:
                raise WrongError(f"a volume without extent: {voxels.affine}")
        if not scan:
            raise InputError("no file is a readable image", found="; ".join(each.reason for each in scan.unreadable))
        return True

    def close(self) -> None:
        """Nothing was started."""


def target(folder: Path, canary: Canary) -> Series:
    """Small series of their own making."""
    Image.init()  # a codec's library that looks for all of its plugins once
    base, bases = emptied(folder / "base"), []
    for syntax in SYNTAXES:
        classic = write_series(base / f"ct-{syntax}", VOXELS)
        enhanced = write_multiframe(base / f"mr-{syntax}", VOXELS)
        for path in (*classic, enhanced):
            _transcode(path, str(syntax))
        bases.append({path.name: path.read_bytes() for path in classic})
        bases.append({enhanced.name: enhanced.read_bytes()})
    found = Series(tuple(bases), Spoiler(canary, ("ACME 1.1", "SIEMENS CSA HEADER")), folder)
    for each in bases:
        assert found.receive(each)
    return found


def _transcode(path: Path, syntax: str) -> None:
    image = dcmread(path)
    if syntax == DeflatedExplicitVRLittleEndian:
        image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    elif syntax != ExplicitVRLittleEndian:
        image.compress(syntax, generate_instance_uid=False)
    image.save_as(path)


def _geometry(files: Mutant, random: Random) -> Mutant:
    """One attribute that matters: in one file or in all, another value, or none."""
    tag, value = random.choice(GEOMETRY), random.choice(NUMBERS)
    among = sorted(files) if random.random() < 0.5 else [random.choice(sorted(files))]
    return {
        name: _with(parsed(content), tag, value, random) if name in among and not _deflated(content) else content
        for name, content in files.items()
    }


def _with(file: File, tag: int, value: bytes, random: Random) -> bytes:
    old = next((each.value for each in file.elements if each.tag == tag), b"")
    if tag >> 16 == 0x5200:
        return file.with_(tag, value=octets.spoilt(old, random) if old else value).encoded()
    return file.with_(tag, value=value + b" " * (len(value) % 2)).encoded()


def _pixels(content: bytes, random: Random) -> bytes:
    """The pixel data alone: its length, its fragments, its codestream."""
    if _deflated(content):
        return octets.spoilt(content, random)
    file = parsed(content)
    old = next(each for each in file.elements if each.tag == PIXELS)
    if random.random() < 0.2:
        return file.with_(PIXELS, length=random.choice((0, 1, 10, UNDEFINED, 0xFFFF_FFFE, 0x7FFF_FFFF))).encoded()
    value = old.value
    for _ in range(random.choice((1, 2, 6))):
        value = octets.spoilt(value, random) or b"\0"
    return file.with_(PIXELS, value=value).encoded()


def _deflated(content: bytes) -> bool:
    return b"1.2.840.10008.1.2.1.99" in content[:600]


def _body_at(content: bytes) -> int:
    return 144 + int.from_bytes(content[140:144], "little")
