"""A bundle's folder: which files count, and what they say together. Nothing is executed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.architectures import Architecture, named_architecture
from iodeep.packing.importing.monai_bundle.configuration import Component, Configuration, Device
from iodeep.packing.importing.monai_bundle.metadata import Metadata, read_metadata

_CONFIGURATIONS = ("inference.json", "inference.yaml", "inference.yml")
_NAMES = {
    "network": ("network_def", "network"),
    "preprocessing": ("preprocessing", "preprocessing_transforms", "pre_transforms"),
    "inferer": ("inferer",),
    "postprocessing": ("postprocessing", "postprocessing_transforms", "post_transforms"),
}
"""What a part is called in bundles, the usual name first."""


@dataclass(frozen=True)
class Bundle:
    """What decides a bundle's results."""

    metadata: Metadata
    preprocessing: tuple[Component, ...]
    inferer: Component
    postprocessing: tuple[Component, ...]
    architecture: Architecture | None
    """None where the bundle has TorchScript alone."""
    weights: Path
    """A state dict, or TorchScript."""


def read_bundle(folder: Path) -> Bundle:
    """The bundle in ``folder``; InputError naming the part that is missing or cannot be imported."""
    metadata = read_metadata(_needed(folder / "configs" / "metadata.json"))
    found = [folder / "configs" / name for name in _CONFIGURATIONS if (folder / "configs" / name).is_file()]
    if len(found) != 1:
        raise InputError(
            f"the bundle {folder.name} has {len(found) or 'no'} configurations for inference",
            expected="one of configs/" + ", configs/".join(_CONFIGURATIONS),
        )
    configuration = Configuration(found[0])
    state = folder / "models" / "model.pt"
    script = folder / "models" / "model.ts"
    if not state.is_file() and not script.is_file():
        raise InputError(f"the bundle {folder.name} has no weights", expected="models/model.pt, or models/model.ts")
    return Bundle(
        metadata,
        _transforms(configuration, "preprocessing"),
        configuration.component(_name(configuration, "inferer")),
        _transforms(configuration, "postprocessing"),
        _architecture(configuration) if state.is_file() else None,
        state if state.is_file() else script,
    )


def _needed(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"the bundle lacks {path.parent.name}/{path.name}", expected="a MONAI Bundle with that file")
    return path


def _name(configuration: Configuration, part: str) -> str:
    for name in _NAMES[part]:
        if configuration.has(name):
            return name
    raise InputError(
        f"{configuration.path.name} of the bundle has no {part}",
        expected=" or ".join(_NAMES[part]),
        remedy="Add it under that name.",
    )


def _transforms(configuration: Configuration, part: str) -> tuple[Component, ...]:
    compose = configuration.component(_name(configuration, part))
    given = compose.arguments.get("transforms") if compose.name == "Compose" else None
    given = [each for each in given if each is not None] if isinstance(given, list) else given
    further = set(compose.arguments) - {"transforms", "lazy", "map_items", "unpack_items", "log_stats"}
    if not isinstance(given, list) or not all(isinstance(each, Component) for each in given) or further:
        raise InputError(
            f"{part} in {configuration.path.name} is no list of transforms",
            expected="a Compose with transforms, each with its _target_",
        )
    return tuple(given)


def _architecture(configuration: Configuration) -> Architecture:
    component = configuration.component(_name(configuration, "network"))
    for name, value in component.arguments.items():
        if not _is_plain(value):
            raise InputError(
                f"the network in {configuration.path.name} is given {name} as something else than a plain value",
                expected="numbers, texts, lists and mappings of them",
            )
    return Architecture(named_architecture(component.target), component.arguments)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(each) for each in value)
    if isinstance(value, dict):
        return all(_is_plain(each) for each in value.values())
    return not isinstance(value, Component | Device)
