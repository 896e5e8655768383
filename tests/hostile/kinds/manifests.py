"""Manifests: the JSON document spoilt, and everything sealed again, so that what reads it is all that stands in the way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from iodeep.errors import IODeepError
from iodeep.model_object import assemble, read_descriptor
from iodeep.model_object.dicom_file import read_header
from iodeep.model_object.manifest import manifest_of_bytes
from iodeep.model_object.private_block import MANIFEST, MANIFEST_SHA256, raw_value
from iodeep.model_object.write import write_descriptor
from iodeep.selection import Candidate, SeriesFacts, SiteRules, decide, decision_record, facts_of_attributes
from iodeep.service.exchange.card_page import card_page
from iodeep.trust import verify_object
from tests.hostile.canary import Canary
from tests.hostile.judging import Mutant
from tests.hostile.kinds.folders import emptied, written
from tests.hostile.models import packed, self_test
from tests.hostile.mutating import octets
from tests.hostile.mutating.dicom import parsed
from tests.hostile.mutating.documents import changed, deep

DESCRIPTOR = "descriptor.dcm"
SERIES = {
    "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "Modality": "MR", "BodyPartExamined": "HEAD",
    "SeriesDescription": "T1 AX HEAD", "NumberOfSeriesRelatedInstances": "24",
}  # fmt: skip


@dataclass
class Manifests:
    """A model whose manifest is another, with the digest of that one in the descriptor and all parts."""

    whole: dict[str, bytes]
    manifest: dict[str, Any]
    facts: SeriesFacts
    canary: Canary
    folder: Path
    memory_mib: int = 200

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Nothing stays."""
        return (self.folder / "tmp", self.folder / "out")

    def mutant(self, random: Random) -> Mutant:
        """The files of the model, sealed again."""
        how = random.random()
        if how < 0.03:
            encoded = deep(random.choice((100, 5000, 200_000)), lists=random.random() < 0.5)
        else:
            document = changed(self.manifest, random, self.canary, finite=how < 0.9)
            encoded = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
                "utf-8", "surrogatepass"
            )
            if how > 0.95:
                encoded = octets.spoilt(encoded, random)
        return {name: _sealed(content, encoded) for name, content in self.whole.items()}

    def receive(self, mutant: Mutant) -> bool:
        """Read as it came; where only the attributes stand in the way, written as the manifest has it."""
        into = written(self.folder / "in", mutant)
        try:
            return self._taken(into)
        except IODeepError:
            encoded = (raw_value(read_header(into / DESCRIPTOR).dataset, MANIFEST) or b"").rstrip(b"\0")
            manifest = manifest_of_bytes(encoded, "here")
            digest = hashlib.sha256(encoded).hexdigest()
            write_descriptor(into / DESCRIPTOR, manifest, encoded, digest, self_test().encode())
            return self._taken(into)

    def _taken(self, into: Path) -> bool:
        """Everything that is done with a manifest: checking, choosing, showing, putting together."""
        descriptor = read_descriptor(into / DESCRIPTOR)
        report = verify_object(into / DESCRIPTOR, [into])
        card_page(descriptor)
        candidate = Candidate(descriptor.card, descriptor.identity, "here", descriptor.total_bytes)
        decision_record(decide(self.facts, [candidate]), SiteRules())
        if report.holds:
            assemble(descriptor, [into], self.folder / "out")
            emptied(self.folder / "out")
        return report.holds

    def close(self) -> None:
        """Nothing was started."""


def target(folder: Path, canary: Canary) -> Manifests:
    """The small model in two parts."""
    model = packed(folder / "base")
    emptied(folder / "out")
    whole = {path.name: path.read_bytes() for path in model.files}
    encoded = raw_value(read_header(model.descriptor).dataset, MANIFEST)
    assert encoded is not None
    document = json.loads(encoded.rstrip(b"\0"))
    found = Manifests(whole, document, facts_of_attributes(SERIES), canary, folder)
    assert found.receive(dict(whole))
    return found


def _sealed(content: bytes, encoded: bytes) -> bytes:
    """The file with this manifest, or with its digest alone."""
    digest = hashlib.sha256(encoded).hexdigest().encode()
    sealed = parsed(content).with_(MANIFEST_SHA256.tag(), value=digest)
    return sealed.with_(MANIFEST.tag(), value=encoded + bytes(len(encoded) % 2)).encoded()
