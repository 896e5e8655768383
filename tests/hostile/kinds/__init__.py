"""The kinds of hostile input, by name. Each is imported by the process that needs it alone."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tests.hostile.canary import Canary
from tests.hostile.judging import Target


@dataclass(frozen=True)
class Kind:
    """A kind, its share of a run, and what it attacks."""

    name: str
    share: int
    """Out of 100 inputs."""
    what: str

    def target(self, folder: Path, canary: Canary) -> Target:
        """What inputs of this kind are made for, and handed to."""
        made: Target = import_module(f"{__name__}.{self.name}").target(folder, canary)
        return made


KINDS = {
    kind.name: kind
    for kind in (
        Kind("objects", 20, "model objects: descriptor, parts, signatures, the prior art's"),
        Kind("manifests", 20, "manifests, sealed again so that their digests hold"),
        Kind("cards", 10, "cards in YAML and JSON, and a run by those that are taken"),
        Kind("networks", 8, "ONNX files, and a run of those that are taken"),
        Kind("signatures", 14, "signatures, certificates, lists of what is revoked"),
        Kind("series", 16, "image series: geometry, pixels, codestreams, transfer syntaxes"),
        Kind("media", 6, "folders, ZIP files, DICOMDIRs and encrypted media"),
        Kind("http", 4, "requests to the API and the DICOMweb gateway of a running service"),
        Kind("dimse", 2, "associations with the listener of a running service"),
    )
}
