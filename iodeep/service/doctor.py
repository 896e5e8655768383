"""What is installed, reachable and allowed, each in a sentence."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from iodeep.errors import IODeepError
from iodeep.results.kinds import COMPREHENSIVE_3D_SR_STORAGE, LABEL_MAP_SEGMENTATION_STORAGE, SEGMENTATION_STORAGE
from iodeep.service.configuration import Configuration
from iodeep.service.containing import DECISIVE, REMEDY, lacking_layers
from iodeep.settings import PacsSettings
from iodeep.terms import RAW_DATA_STORAGE
from pacs_bridge import open_archive

_PACKAGES = ("pydicom", "pynetdicom", "highdicom", "onnx", "onnxruntime", "dicomweb-client")
_SYNTAXES = (RLELossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000, HTJ2K)
_NEEDED = {RAW_DATA_STORAGE: "model objects (Raw Data)", SEGMENTATION_STORAGE: "segmentations"}
_OPTIONAL = {COMPREHENSIVE_3D_SR_STORAGE: "reports", LABEL_MAP_SEGMENTATION_STORAGE: "label map segmentations"}
_LITTLE_SPACE = 500_000_000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    good: bool
    sentence: str

    def as_document(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def examine(configuration: Configuration, pacs: str | None) -> list[Finding]:
    """Everything, and every archive (or the one named)."""
    settings = configuration.settings
    archives = [settings.archive(pacs)] if pacs else list(settings.pacs.values())
    origin = configuration.origin or "no iodeep.toml: the defaults"
    return [
        *(_package(name) for name in _PACKAGES),
        _providers(),
        *_containment(),
        *(_decoder(syntax) for syntax in _SYNTAXES),
        Finding("settings", True, str(origin)),
        _cache(configuration),
        *(finding for archive in archives for finding in _archive(archive)),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, "not installed; install iodeep again")


def _providers() -> Finding:
    from iodeep.inference.onnx_runtime import offered_providers  # a tenth of a second that `iodeep echo` does without

    return Finding("execution providers", True, ", ".join(offered_providers()))


def _containment() -> list[Finding]:
    """Each layer that this machine refuses to the process that runs networks."""
    lacking = lacking_layers()
    if not lacking:
        return [Finding("containment", True, "networks run with no way to files, network, programs or other processes")]
    return [Finding("containment", layer != DECISIVE, f"{sentence} {REMEDY}") for layer, sentence in lacking.items()]


def _decoder(syntax: UID) -> Finding:
    good = get_decoder(syntax).is_available
    return Finding("decoder", good, syntax.name if good else f"{syntax.name}: no plug-in; install iodeep again")


def _cache(configuration: Configuration) -> Finding:
    try:
        configuration.cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(configuration.cache).free
    except OSError as error:
        return Finding("cache", False, f"{configuration.cache}: {error.strerror}; set IODEEP_CACHE to another folder")
    return Finding("cache", free > _LITTLE_SPACE, f"{configuration.cache}, {free / 1e9:.1f} GB free")


def _archive(settings: PacsSettings) -> list[Finding]:
    subject = f"archive {settings.name}"
    try:
        with open_archive(settings) as archive:
            reply = archive.echo()
            taken = archive.accepted([*_NEEDED, *_OPTIONAL])
    except IODeepError as error:
        return [Finding(subject, False, str(error))]
    kinds = {**_NEEDED, **_OPTIONAL}
    return [
        Finding(subject, True, f"{reply.peer} answers in {reply.milliseconds:.0f} ms"),
        *(
            Finding(f"{subject} takes", uid in taken or uid in _OPTIONAL, f"{kinds[uid]}: {_yes_no(uid in taken)}")
            for uid in kinds
        ),
    ]


def _yes_no(holds: bool) -> str:
    return "yes" if holds else "no"
