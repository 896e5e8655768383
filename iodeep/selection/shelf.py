"""Models out of a folder: packed objects, or bare cards of networks that don't exist yet, so that a site can plan."""

from __future__ import annotations

from pathlib import Path

from iodeep.card import read_card
from iodeep.errors import InputError, IODeepError
from iodeep.model_object import ObjectKind, read_descriptor, recognise
from iodeep.selection.candidate import Candidate, UnusableModel

_CARD_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def candidates_in_folder(folder: Path) -> list[Candidate | UnusableModel]:
    """Every model below ``folder``, by path: descriptors (``.dcm`` or without suffix) and cards (YAML or JSON).

    A file that is neither is passed over; one that is damaged, or prior art, is unusable and says why.
    Errors: :class:`iodeep.errors.InputError` where the folder doesn't exist or holds no model.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", expected="a folder with model objects or cards")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    found = [candidate for path in files if (candidate := _candidate(path, folder)) is not None]
    if not found:
        raise InputError(
            f"{folder} holds no model", expected="DICOM files that `iodeep pack` wrote, or cards (.yaml, .json)"
        )
    return found


def _candidate(path: Path, folder: Path) -> Candidate | UnusableModel | None:
    where = str(folder)
    try:
        if path.suffix.lower() in _CARD_SUFFIXES:
            return Candidate(read_card(path), where=where)
        recognised = recognise(path)
        if recognised.kind is ObjectKind.LEGACY:
            return UnusableModel(path.name, recognised.sop_instance_uid, where, recognised.reason)
        if recognised.kind is not ObjectKind.DESCRIPTOR:
            return None
        descriptor = read_descriptor(path)
    except IODeepError as error:
        return UnusableModel(path.name, "", where, str(error))
    return Candidate(
        descriptor.card,
        identity=descriptor.identity,
        where=where,
        total_bytes=descriptor.total_bytes,
        study_instance_uid=descriptor.study_instance_uid,
    )
