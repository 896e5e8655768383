"""Exchange media: ZIP files, folders with a DICOMDIR, encrypted files; everything up to the verdict on the model."""

from __future__ import annotations

import io
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyrage

from iodeep.model_object import read_descriptor
from iodeep.service.exchange.media import check_directory, write_file_set
from iodeep.service.exchange.unpacking import open_media
from iodeep.service.library import local_model
from iodeep.trust import verify_object
from tests.hostile.canary import Canary
from tests.hostile.judging import Mutant, WrongError
from tests.hostile.kinds.folders import emptied, written
from tests.hostile.models import packed
from tests.hostile.mutating import octets
from tests.hostile.mutating.dicom import Spoiler
from tests.hostile.mutating.texts import hostile

NAMES = (
    "../out.dcm", "/tmp/out.dcm", "..\\out.dcm", "C:\\out.dcm", "a/../../out.dcm", "a//b", "./a", "a/.", "NUL", "aux.txt",
    "a" * 200, "a\0b", "ä", "MODEL.DCM", "model.dcm.", "a/" * 30 + "b", "\u202ea", "a\nb", "~/a", "-rf", "DICOMDIR/a", "",
)  # fmt: skip
SYMLINK, FOLDER, DEVICE = 0o120777, 0o040755, 0o020666


@dataclass
class Media:
    """A File-set of the small model, as a folder, a ZIP file, and sealed."""

    whole: Mutant
    secret: str
    receiver: object
    spoiler: Spoiler
    folder: Path
    memory_mib: int = 200

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Nothing stays, and nothing comes to lie beside the folders that are there to be written to."""
        return (self.folder / "tmp", self.folder / "beside")

    def mutant(self, random: Random) -> Mutant:
        """One file of media, or a folder's files."""
        how = random.random()
        if how < 0.25:
            return self._spoilt_files(random)
        files = self._spoilt_files(random) if how < 0.35 else self.whole
        content = _zipped(files, random)
        if 0.6 < how < 0.85:
            content = octets.spoilt(content, random)
        if how > 0.85:
            sealed = pyrage.encrypt(content, [self.receiver])
            return {"media.zip.age": octets.spoilt(sealed, random) if how > 0.88 else sealed}
        return {"media.zip": content}

    def receive(self, mutant: Mutant) -> bool:
        """What `iodeep import` does before anything is run."""
        into = written(self.folder / "beside" / "in", mutant)
        workspace = emptied(self.folder / "beside" / "work")
        try:
            names = set(mutant)
            media = into / names.pop() if names <= {"media.zip", "media.zip.age"} else into
            key = self.folder / "key.txt" if media.suffix == ".age" else None
            folder, _ = open_media(media, workspace, key=key)
            check_directory(folder)
            model = local_model(folder)
            holds = verify_object(model.descriptor_path, model.part_paths).holds
            digest = read_descriptor(model.descriptor_path).identity.manifest_sha256
            if holds and digest.encode() not in self.whole["MODEL"]:
                raise WrongError("another model was accepted")
            return holds
        finally:
            self._only_inside(into, workspace)

    def _only_inside(self, into: Path, workspace: Path) -> None:
        emptied(into).rmdir()
        emptied(workspace).rmdir()

    def _spoilt_files(self, random: Random) -> Mutant:
        files = {name: content for name, content in self.whole.items() if name != "MODEL"}
        name = random.choice(("DICOMDIR", random.choice(sorted(files))))
        files[name] = (
            self.spoiler.spoilt(files[name], random) if name.endswith("DIR") else octets.spoilt(files[name], random)
        )
        return files

    def close(self) -> None:
        """Nothing was started."""


def target(folder: Path, canary: Canary) -> Media:
    """The media of the small model."""
    model = packed(folder / "base")
    media = emptied(folder / "base" / "media")
    places = write_file_set(model.files, media)
    emptied(folder / "beside")
    identity = pyrage.x25519.Identity.generate()
    (folder / "key.txt").write_text(str(identity), encoding="ascii")
    whole = {path.relative_to(media).as_posix(): path.read_bytes() for path in media.rglob("*") if path.is_file()}
    whole["MODEL"] = places[-1].read_bytes()
    found = Media(whole, str(identity), identity.to_public(), Spoiler(canary), folder)
    assert found.receive({name: content for name, content in whole.items() if name != "MODEL"})
    return found


def _zipped(files: Mutant, random: Random) -> bytes:
    """A ZIP file of the media, with something about its entries that is not as it should be."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile's own on names that stand twice
        for name, content in files.items():
            if name != "MODEL":
                archive.writestr(_info(name, random if random.random() < 0.12 else None), content)
        if random.random() < 0.3:
            archive.writestr(_info(random.choice((*NAMES, hostile(random)[:60000])), random), b"x" * 100)
        if random.random() < 0.05:
            archive.writestr(_info("bomb", None, zipfile.ZIP_DEFLATED), bytes(random.choice((1 << 20, 64 << 20))))
    return stream.getvalue()


def _info(name: str, random: Random | None, method: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
    info.compress_type = method
    info.create_system, info.external_attr = 3, 0o100644 << 16
    if random is not None:
        info.external_attr = random.choice((SYMLINK, FOLDER, DEVICE, 0o100644, 0)) << 16
        info.compress_type = random.choice(
            (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        )
        info.flag_bits |= random.choice((0, 0, 0x20))
    return info
