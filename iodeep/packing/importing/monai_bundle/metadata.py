"""``configs/metadata.json`` says what goes in and comes out, and texts that a card may use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iodeep.errors import InputError

MOST_BYTES = 4 << 20
_MODALITIES = ("CR", "CT", "DX", "MG", "MR", "NM", "PT", "US", "XA")
_BACKGROUND = ("background", "bg", "other", "")


@dataclass(frozen=True)
class Metadata:
    """Of a bundle. ``channels``: names of the output's channels where it says them."""

    document: Mapping[str, Any]
    input_channels: int
    inputs: tuple[str, ...]
    modality: str | None
    output_channels: int | None
    channels: Mapping[int, str]

    def segments(self, decode: str, count: int) -> list[dict[str, Any]]:
        """The card's segments for an output of ``count`` channels: all but background."""
        channels = range(1 if decode == "argmax" else 0, count)
        named = [(channel, self.channels.get(channel, f"Segment {channel}")) for channel in channels]
        kept = [(channel, name) for channel, name in named if name.strip().lower() not in _BACKGROUND]
        return [
            {"number": number, "channel": channel, "label": name[:64]} for number, (channel, name) in enumerate(kept, 1)
        ]

    def suggested(self) -> dict[str, Any]:
        """Texts for a draft."""
        of = self.document
        found: dict[str, Any] = {"qualification": "RESEARCH"}
        if version := _version(of.get("version")):
            found["version"] = version
        if name := _text(of.get("name"), 48):
            found["name"] = name
            found["token"] = re.sub(r"[^A-Z0-9-]", "", name.upper())[:16] or "BUNDLE"
        if summary := _text(of.get("description"), 64):
            found["summary"] = summary
        if author := _text(of.get("authors"), 64):
            found["developer"] = {"name": author}
        if purpose := _text(of.get("intended_use"), 20_000):
            found["intended_use"] = {"purpose": purpose}
        if source := _text(of.get("data_source"), 20_000):
            found["training"] = {"description": source}
        return found


def read_metadata(path: Path) -> Metadata:
    """Of ``metadata.json``; InputError naming the part that is missing or wrong."""
    if path.stat().st_size > MOST_BYTES:
        raise InputError("metadata.json is too large", expected=f"at most {MOST_BYTES} bytes")
    try:
        document = json.loads(path.read_bytes())
        form = document["network_data_format"]
        inputs, outputs = form["inputs"], form["outputs"]
        image, pred = inputs["image"], outputs["pred"]
        count = int(image["num_channels"])
        channels = {int(number): str(name) for number, name in (pred.get("channel_def") or {}).items()}
        names = {int(number): str(name) for number, name in (image.get("channel_def") or {}).items()}
        given = None if pred.get("num_channels") is None else int(pred["num_channels"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            "metadata.json does not say what the network eats and gives",
            expected="network_data_format.inputs.image with num_channels, and network_data_format.outputs.pred",
            found=f"{type(error).__name__}: {error}"[:200],
            remedy="Add it as the MONAI Bundle specification says.",
        ) from error
    if len(inputs) != 1 or not 1 <= count <= 16:
        raise InputError(
            "metadata.json asks for inputs that a card cannot give", expected="one, image, of 1 to 16 channels"
        )
    return Metadata(document, count, _input_names(count, names), _modality(image.get("modality")), given, channels)


def _input_names(count: int, names: Mapping[int, str]) -> tuple[str, ...]:
    """Names of a card's inputs, out of the channels' where they have some."""
    if count == 1:
        return ("image",)
    found = [re.sub(r"[^a-z0-9_]", "", names.get(number, "").lower())[:32] for number in range(count)]
    usable = len(set(found)) == count and all(re.match(r"^[a-z]", name) for name in found)
    return tuple(found) if usable else tuple(f"image{number}" for number in range(count))


def _modality(text: Any) -> str | None:
    found = str(text or "").strip().upper().replace("MRI", "MR").replace("PET", "PT")
    return found if found in _MODALITIES else None


def _version(text: Any) -> str | None:
    return text if isinstance(text, str) and re.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{1,2}", text) else None


def _text(value: Any, most: int) -> str | None:
    """One line of a text, without what a name of DICOM cannot hold."""
    text = (
        " ".join(str(value).replace("\\", " ").replace("^", " ").replace("=", " ").split())
        if isinstance(value, str)
        else ""
    )
    return text[:most].strip() or None
