"""Model objects: any of a model's files spoilt, and all that reads them: recognising, verifying, putting together, explaining."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest import mock

from pydicom.uid import UID

from iodeep.errors import IODeepError
from iodeep.model_object import (
    ObjectKind,
    assemble,
    explain_legacy,
    read_descriptor,
    read_signature,
    recognise,
)
from iodeep.service.library import local_model
from iodeep.trust import verify_object
from tests.hostile.canary import Canary
from tests.hostile.judging import Mutant, WrongError
from tests.hostile.kinds.folders import emptied
from tests.hostile.models import packed
from tests.hostile.mutating.dicom import Spoiler
from tests.hostile.signed import signature_file
from tests.unit.model_object.legacy_writer import write_legacy

WEIGHTS = b"\x80\x02cposix\nsystem\nX\x02\0\0\0id\x85R."


@dataclass
class Objects:
    """A model's files, of which one or two are spoilt."""

    whole: dict[str, bytes]
    legacy: bytes
    spoiler: Spoiler
    folder: Path
    memory_mib: int = 300

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Nothing stays where temporary files go, nor beside them."""
        return (self.folder / "tmp", self.folder / "out")

    def mutant(self, random: Random) -> Mutant:
        """All of the model, or the prior art's object alone."""
        if random.random() < 0.12:
            return {"legacy.dcm": self.spoiler.spoilt(self.legacy, random)}
        files = dict(self.whole)
        for name in random.sample(sorted(files), random.choice((1, 1, 1, 2))):
            files[name] = self.spoiler.spoilt(files[name], random)
        if random.random() < 0.08:
            del files[random.choice(sorted(files))]
        if random.random() < 0.05:
            files["again.dcm"] = files[random.choice(sorted(files))]
        return files

    def receive(self, mutant: Mutant) -> bool:
        """Everything that a folder of unknown files goes through."""
        into, out = self.folder / "in", self.folder / "out"
        emptied(into)
        for name, content in mutant.items():
            (into / name).write_bytes(content)
        for name in mutant:
            self._read(into / name)
        model = local_model(into)
        report = verify_object(model.descriptor_path, model.part_paths)
        descriptor = read_descriptor(model.descriptor_path)
        try:
            files = assemble(descriptor, model.part_paths, out)
        except IODeepError as error:
            if report.holds:
                raise WrongError(f"verified, but not put together: {error}") from error
            raise
        digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        emptied(out)
        if digests != {file.name: file.sha256 for file in descriptor.manifest.files}:
            raise WrongError("what was put together is not what the manifest says")
        if descriptor.identity.manifest_sha256 not in self.whole["descriptor.dcm"].decode("latin1"):
            raise WrongError("another manifest was accepted")
        return report.holds

    def _read(self, path: Path) -> None:
        kind = recognise(path).kind
        if kind is ObjectKind.LEGACY:
            explain_legacy(path)
        if kind is ObjectKind.SIGNATURE:
            read_signature(path)

    def close(self) -> None:
        """Nothing was started."""


def target(folder: Path, canary: Canary) -> Objects:
    """The files of a signed model in two parts."""
    model = packed(folder / "base")
    paths = (*model.files, signature_file(model, folder / "base"))
    for name in ("in", "out"):
        (folder / name).mkdir()
    with mock.patch(
        "tests.unit.model_object.legacy_writer.generate_uid", return_value=UID("1.2.826.0.1.3680043.8.498.9")
    ):
        write_legacy(folder / "base" / "legacy.dcm", weights=WEIGHTS)
    legacy = (folder / "base" / "legacy.dcm").read_bytes()
    whole = {path.name if "signature" not in path.name else "signature.dcm": path.read_bytes() for path in paths}
    found = Objects(whole, legacy, Spoiler(canary), folder)
    assert found.receive(dict(whole))
    return found
