"""A model leaves its object, for other software: files and card as plain ONNX, or as a MONAI Bundle. Whole, or not at all.

Nothing is written of a model that does not hold, whose networks are not harmless, or that the site does not trust; the last can be
answered for, because the files then leave what the site runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from iodeep.errors import InputError, IntegrityError, NotTrustedError
from iodeep.inference import check_network
from iodeep.model_object import ModelDescriptor, assemble
from iodeep.model_object.local_files import storage_errors, whole_folder
from iodeep.packing.exporting import BundleSource, unsaid_in_bundle, write_bundle, write_onnx_folder
from iodeep.ports import ProgressSink, no_progress
from iodeep.service.library import LocalModel
from iodeep.service.trusting import signatures_in_files
from iodeep.trust import verify_object

if TYPE_CHECKING:
    from iodeep.trust.policy import TrustPolicy


class Form(StrEnum):
    """As what a model is taken out."""

    ONNX = "onnx"
    MONAI_BUNDLE = "monai-bundle"


@dataclass(frozen=True)
class Unpacked:
    """What was written, of which model; ``unsaid``: what the form says otherwise than the card; ``distrusted``: despite what."""

    out: Path
    descriptor: ModelDescriptor
    files: tuple[str, ...]
    unsaid: tuple[str, ...] = ()
    distrusted: str = ""


def unpack_model(
    model: LocalModel,
    out: Path,
    form: Form,
    *,
    trust: TrustPolicy | None = None,
    anyway: bool = False,
    strict: bool = False,
    progress: ProgressSink = no_progress,
) -> Unpacked:
    """Write the model to ``out``, a folder that is new or empty.

    ``anyway``: although the site's policy ``trust`` refuses it. ``strict``: not where the form says something otherwise than the card.
    Raises IntegrityError where a digest does not hold, NetworkError for a network that may not be loaded, NotTrustedError for
    a model that the site does not trust, InputError for what the form cannot say; then nothing is written.
    """
    descriptor = _verified(model, progress)
    distrusted = _distrusted(descriptor, model, trust)
    if distrusted and not anyway:
        raise NotTrustedError(
            f"the site does not trust {descriptor.card.name} {descriptor.card.version}: {distrusted}",
            remedy="Nothing was written. Where you answer for what is done with it: --anyway.",
        )
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=out.parent) as name:
        files = assemble(descriptor, model.part_paths, Path(name), progress=progress)
        source = BundleSource(descriptor.card, files, _checked(descriptor, files), _origin(descriptor))
        unsaid = unsaid_in_bundle(source) if form is Form.MONAI_BUNDLE else ()
        if unsaid and strict:
            raise InputError(
                f"MONAI does not do {len(unsaid)} things as the card says",
                found=" ".join(unsaid),
                remedy="Nothing was written. Without --strict they stand in docs/README.md of the bundle.",
            )
        with whole_folder(out) as folder:
            if form is Form.MONAI_BUNDLE:
                write_bundle(source, folder)
            else:
                write_onnx_folder(source.card, files, folder, source.origin)
            written = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    return Unpacked(out, descriptor, written, unsaid, distrusted)


def _verified(model: LocalModel, progress: ProgressSink) -> ModelDescriptor:
    report = verify_object(model.descriptor_path, model.part_paths, progress=progress)
    if not report.holds or report.descriptor is None:
        wrong = " ".join(check.sentence for check in report.checks if not check.holds)
        raise IntegrityError(
            f"the model does not hold, so it is not taken out: {wrong}",
            remedy="Fetch it again; if it stays so, ask whoever packed it.",
        )
    return report.descriptor


def _distrusted(descriptor: ModelDescriptor, model: LocalModel, trust: TrustPolicy | None) -> str:
    """Why the site does not trust the model; empty where it does, or has no policy."""
    if trust is None:
        return ""
    from iodeep.trust.policy import ModelInQuestion  # cryptography: only for those who have a policy

    signatures = signatures_in_files(model.part_paths)
    return trust.judge(ModelInQuestion.of(descriptor), signatures, datetime.now(UTC)).distrusted


def _checked(descriptor: ModelDescriptor, files: Mapping[str, Path]) -> int | None:
    """Every network is what the card says and harmless to load; channels of the first output, None where they are free."""
    card = descriptor.card
    facts = [check_network(files[name], card, folder=files[name].parent) for name in card.network.files]
    first = card.segmentation.tensor if card.segmentation else card.classifications[0].tensor
    shape = next(tensor.shape for tensor in facts[0].outputs if tensor.name == first)
    return shape[1] if len(shape) > 1 else None


def _origin(descriptor: ModelDescriptor) -> tuple[str, ...]:
    identity = descriptor.identity
    return (
        f"Taken out of the model object {identity.sop_instance_uid}.",
        f"Study {descriptor.study_instance_uid}, device {identity.device_uid}.",
        f"Manifest SHA-256 {identity.manifest_sha256}.",
    )
