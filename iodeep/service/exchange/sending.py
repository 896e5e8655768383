"""A model from one archive to another, through us: part by part, each checked on its way, with room for one part only.

What the target holds already is not sent again, so that a transfer that was interrupted goes on where it ended.
"""

from __future__ import annotations

from pathlib import Path

from iodeep.model_object import ModelDescriptor, read_descriptor
from iodeep.ports import Archive, ProgressSink, Wanted, no_progress
from iodeep.service.exchange.beside import signature_files, signature_series
from iodeep.service.exchange.holding import Held, Holding, fetched_one
from iodeep.service.library import fetch_descriptor, local_model, study_of_model


def send_model(
    uid: str, source: Archive, target: Archive, workspace: Path, *, progress: ProgressSink = no_progress
) -> tuple[ModelDescriptor, Held]:
    """Send the model whose study or descriptor is ``uid``; each instance is found again in ``target`` and compared.

    Raises ObjectError where the model in ``source`` is damaged or ``target`` holds something else under its UIDs.
    """
    found = fetch_descriptor(source, study_of_model(source, uid, workspace), workspace)
    path = local_model(found).descriptor_path
    descriptor = read_descriptor(path)
    holding = Holding(target, descriptor, workspace, progress)
    for entry in descriptor.parts:
        wanted = Wanted(descriptor.study_instance_uid, entry.series_instance_uid, (entry.sop_instance_uid,))
        holding.keep_part(entry, fetched_one(source, wanted, workspace))
    for wanted in signature_series(source, descriptor):
        with fetched_one(source, wanted, workspace) as signature:
            if signature_files(descriptor, [signature]):
                holding.keep_beside(signature)
    return descriptor, holding.keep_descriptor(path)
