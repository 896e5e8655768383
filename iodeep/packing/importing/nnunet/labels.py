"""dataset.json: what the output's channels mean, and what the input's channels are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.nnunet.documents import REMEDY, field

MOST_LABELS = 1024


@dataclass(frozen=True)
class Labels:
    """The segments in the order of their output channels.

    ``names``: without background and what is ignored. ``painted``: of regions, the label that each channel writes, in the
    order in which they are written; None where channels exclude each other, channel n being label n.
    ``members``: the labels that each segment consists of.
    """

    names: tuple[str, ...]
    members: tuple[frozenset[int], ...]
    painted: tuple[int, ...] | None

    @property
    def channels(self) -> int:
        """Of the network's output; where they exclude each other, the first is background."""
        return len(self.names) + (0 if self.painted else 1)

    def includes(self, place: int) -> list[int]:
        """Places of the segments whose voxels are those of the segment at ``place`` too."""
        assert self.painted is not None
        return [other for other, label in enumerate(self.painted) if other != place and label in self.members[place]]


def labels_of(dataset: Mapping[str, Any]) -> Labels:
    """The labels of dataset.json, as nnU-Net's LabelManager reads them."""
    declared = field(dataset, "labels", dict, "dataset.json")
    if declared.get("background") != 0 or len(declared) > MOST_LABELS:
        raise InputError(
            "dataset.json must have a label background of 0, and at most 1024 labels",
            found=repr(declared)[:100],
            remedy=REMEDY,
        )
    of_names = {str(name): _members(name, value) for name, value in declared.items() if name != "ignore"}
    kept = {name: members for name, members in of_names.items() if members != {0}}
    if any(isinstance(value, list) and len(value) > 1 for value in declared.values()):
        return _regions(kept, dataset)
    values = sorted(next(iter(members)) for members in kept.values())
    if values != list(range(1, len(values) + 1)):
        raise InputError("the labels of dataset.json must be 0, 1, 2 ... without a gap", found=str(values)[:100])
    ordered = sorted(kept, key=lambda name: next(iter(kept[name])))
    return Labels(tuple(ordered), tuple(frozenset(kept[name]) for name in ordered), None)


def _members(name: str, value: Any) -> set[int]:
    values = value if isinstance(value, list) else [value]
    right = bool(values) and all(isinstance(each, int) and not isinstance(each, bool) for each in values)
    if not right or not all(0 <= each <= MOST_LABELS for each in values):
        raise InputError(
            f"dataset.json: the label {str(name)[:80]!r} is no label value and no list of them", remedy=REMEDY
        )
    return set(values)


def _regions(kept: Mapping[str, set[int]], dataset: Mapping[str, Any]) -> Labels:
    order = field(dataset, "regions_class_order", list, "dataset.json")
    right = len(order) == len(kept) and all(isinstance(label, int) and label > 0 for label in order)
    if not right or len(set(order)) != len(order):
        raise InputError(
            "dataset.json: regions_class_order must name one label for each region, each once",
            expected=f"{len(kept)} labels",
            found=repr(order)[:100],
            remedy=REMEDY,
        )
    for (name, members), label in zip(kept.items(), order, strict=True):
        if label not in members:
            raise InputError(
                f"dataset.json: the region {name[:80]!r} is written as label {label}, which is not one of its own",
                remedy="Correct regions_class_order: then the region holds what its channel finds.",
            )
    return Labels(tuple(kept), tuple(frozenset(members) for members in kept.values()), tuple(order))


_SEQUENCES = {
    "T1": "T1",
    "T1W": "T1",
    "T1C": "T1C",
    "T1CE": "T1C",
    "T1GD": "T1C",
    "T1KM": "T1C",
    "T2": "T2",
    "T2W": "T2",
    "FLAIR": "FLAIR",
    "T2FLAIR": "FLAIR",
    "T2F": "FLAIR",
    "PD": "PD",
    "DWI": "DWI",
    "ADC": "ADC",
    "DCE": "DCE",
}
_MODALITIES = {"CT": "CT", "PET": "PT", "PT": "PT", "SUV": "PT", "MR": "MR", "MRI": "MR", "US": "US"}


def inputs_of(dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One card input a channel, with the modality where its name tells it."""
    named = dataset.get("channel_names", dataset.get("modality"))
    if not isinstance(named, dict) or sorted(named) != sorted(str(number) for number in range(len(named))) or not named:
        raise InputError("dataset.json has no channel_names of 0, 1, 2 ...", found=repr(named)[:100], remedy=REMEDY)
    names = [str(named[str(number)]) for number in range(len(named))]
    found: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        plain = re.sub(r"[^A-Z0-9]", "", name.upper())
        given: dict[str, Any] = {"name": _input_name(name, number, [each["name"] for each in found])}
        if plain in _SEQUENCES:
            given |= {"modality": "MR", "sequences": [_SEQUENCES[plain]]}
        elif plain in _MODALITIES:
            given["modality"] = _MODALITIES[plain]
        found.append(given)
    return found


def _input_name(name: str, number: int, taken: list[str]) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:32]
    return plain if re.match(r"[a-z]", plain) and plain not in taken else f"input_{number}"
