"""A model arrives: its media is looked at, every digest and its self-test checked, its terms accepted; then it is stored.

Only the instances that the model's manifest names are stored. What lies beside them on the media is named and refused where
it is DICOM, and left aside where it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iodeep.errors import InputError, IntegrityError, ObjectError
from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor
from iodeep.model_object.assemble import find_parts
from iodeep.ports import Archive, ProgressSink, no_progress
from iodeep.service.exchange.beside import signature_files
from iodeep.service.exchange.holding import Held, Holding
from iodeep.service.exchange.media import check_directory
from iodeep.service.exchange.unpacking import open_media
from iodeep.service.library import LocalModel, local_model
from iodeep.service.storing import dicom_files
from iodeep.service.verifying import ModelVerdict, verify_model

if TYPE_CHECKING:
    from iodeep.trust.policy import TrustPolicy


@dataclass(frozen=True)
class ArrivedModel:
    """A model on media that was looked at, its files, and what the checks said."""

    model: LocalModel
    verdict: ModelVerdict

    @property
    def descriptor(self) -> ModelDescriptor:
        """Of a model that holds."""
        assert self.verdict.descriptor is not None
        return self.verdict.descriptor


def receive(
    media: Path,
    workspace: Path,
    engine: Engine,
    *,
    key: Path | None = None,
    trust: TrustPolicy | None = None,
    progress: ProgressSink = no_progress,
) -> ArrivedModel:
    """Look at the media and verify the one model on it: digests, structure, self-test on this machine, and who signed it.

    ``key``: opens what was encrypted to us. ``trust``: the site's policy, where it has one. Raises ObjectError for media that is refused; a model that doesn't hold is told by its verdict. Nothing is stored.
    """
    folder, _ = open_media(media, workspace, key=key, progress=progress)
    check_directory(folder)
    model = local_model(folder)
    verdict = verify_model(
        model.descriptor_path, model.part_paths, engine, workspace / "payload", trust=trust, progress=progress
    )
    if verdict.holds:
        _check_strangers(folder, model, verdict)
    return ArrivedModel(model, verdict)


def check_accepted(descriptor: ModelDescriptor, accepted: str | None, ask: Callable[[], bool] | None) -> None:
    """Somebody has to accept the model's terms: by naming its licence, or by answering. InputError where nobody does."""
    licence = descriptor.card.licence.spdx
    if accepted == licence:
        return
    if accepted is not None:
        raise InputError(
            "the licence that was accepted is not the model's",
            expected=licence,
            found=accepted,
            remedy=f"Read the licence, then give --accept-licence {licence!r}.",
        )
    if ask is None:
        raise InputError(
            "the model's licence, intended use and limits have to be accepted",
            expected=f"--accept-licence {licence!r}, or a terminal to be asked on",
            remedy="Nothing was stored.",
        )
    if not ask():
        raise InputError("the model's terms were not accepted", remedy="Nothing was stored.")


def store_arrived(
    arrived: ArrivedModel, archive: Archive, workspace: Path, *, progress: ProgressSink = no_progress
) -> Held:
    """Store what the archive doesn't hold yet, the descriptor last, and prove that all of it is there.

    Raises IntegrityError where the archive holds something else under one of the model's UIDs.
    """
    if not arrived.verdict.holds:
        raise IntegrityError("a model that does not hold is not stored")
    descriptor = arrived.descriptor
    parts = find_parts(descriptor, arrived.model.part_paths).by_uid
    holding = Holding(archive, descriptor, workspace, progress)
    for entry in descriptor.parts:
        holding.keep_part(entry, nullcontext(parts[entry.sop_instance_uid]))
    for path in signature_files(descriptor, arrived.model.part_paths):
        holding.keep_beside(path)
    return holding.keep_descriptor(arrived.model.descriptor_path)


def _check_strangers(folder: Path, model: LocalModel, verdict: ModelVerdict) -> None:
    assert verdict.descriptor is not None
    parts = find_parts(verdict.descriptor, model.part_paths).by_uid.values()
    mine = {model.descriptor_path, *parts, *signature_files(verdict.descriptor, model.part_paths)}
    strangers = [path for path in dicom_files([folder]) if path not in mine]
    if strangers:
        named = ", ".join(path.relative_to(folder).as_posix() for path in strangers[:3])
        raise ObjectError(
            f"{len(strangers)} DICOM files on the media do not belong to the model: {named}",
            expected="one model and nothing else",
            remedy="They may be a patient's images. Ask the hospital that gave the media; nothing was stored.",
        )
