"""Whether an object would carry what says who a patient is: doubt is a finding, and a finding refuses the object.

Read are the texts that people and exporters write: the card, and of a network its names, doc strings, metadata and text
attributes; of other files the JSON documents and safetensors' metadata. Weights are numbers: what they remember of the
patients that a network learned from no scan can tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from iodeep.card import ModelCard, card_document

_LONGEST_TEXT = 1 << 16
_LONGEST_HEADER = 16 << 20
_SHOWN = 60
_STANDARD_UIDS = ("1.2.840.10008.", "2.25.")
_FIELDS_OF_UIDS = frozenset({"parents"})
_FIELDS_OF_DATES = frozenset({"released"})
_DAY = r"(?:(?:19|20)\d\d[-./]?(?:0[1-9]|1[0-2])[-./]?(?:0[1-9]|[12]\d|3[01])|\d{1,2}[./]\d{1,2}[./](?:19|20)\d\d)"
_PATTERNS = {
    "a person's name as DICOM writes it": re.compile(r"[A-Za-zÀ-ž'-]{2,}\^[A-Za-zÀ-ž'-]{2,}"),
    "a date of birth": re.compile(
        rf"\b(?:born|birth|dob|geb(?:oren|urtsdatum)?\.?|né\(?e?\)?|naissance|nacid[oa])\W[^\n]{{0,20}}?{_DAY}",
        re.IGNORECASE,
    ),
    "a patient's number": re.compile(
        r"\b(?:mrn|patient[\s_-]*(?:id|no|nr|number|name)|pat[\s_-]?id|accession[\s_-]*(?:no|nr|number)?)\b\W{0,3}(?=\w*\d)\w{4,}",
        re.IGNORECASE,
    ),
    "a study's or examination's date": re.compile(
        rf"\b(?:stud(?:y|ie)|scan(?:ned)?|exam(?:ined|ination)?|admitted|untersuch\w*)\b[^\n]{{0,20}}?\b{_DAY}\b",
        re.IGNORECASE,
    ),
    "a social security number": re.compile(r"(?<![\d.-])\d{3}-\d{2}-\d{4}(?![\d.-])"),
}
_UID = re.compile(r"(?<![\d.])[12](?:\.\d{1,39}){5,}(?![\d.])")


@dataclass(frozen=True)
class Finding:
    """A text that may say who a patient is: where it stands, what it looks like, and how it begins."""

    where: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.where} holds what looks like {self.kind} ({self.text!r})"


def privacy_findings(card: ModelCard, files: Mapping[str, Path], known: Iterable[str] = ()) -> tuple[Finding, ...]:
    """What speaks against packing the card and these files; ``known``: a patient's own values, which must occur nowhere."""
    named = sorted({value.strip("^ .") for value in known})
    secrets = [re.compile(rf"(?<!\w){re.escape(value)}(?!\w)", re.IGNORECASE) for value in named if len(value) >= 4]
    found: dict[tuple[str, str], Finding] = {}
    for where, text in (*_texts_of_card(card), *_texts_of_files(card, files)):
        for finding in _findings(where, text[:_LONGEST_TEXT], secrets):
            found.setdefault((finding.where, finding.kind), finding)
    for name, path in files.items():
        if _is_dicom(path):
            found[name, "DICOM"] = Finding(name, "a DICOM image or object", path.name)
    return tuple(found.values())


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _findings(where: str, text: str, secrets: Iterable[re.Pattern[str]]) -> Iterator[Finding]:
    for value in secrets:
        if value.search(text):
            yield Finding(where, "a value of the self-test's patient", "not shown")
    for kind, pattern in _PATTERNS.items():
        if match := pattern.search(text):
            yield Finding(where, kind, _shown(match[0]))
    for match in _UID.finditer(text):
        if not match[0].startswith(_STANDARD_UIDS):
            yield Finding(where, "a UID of an image or study", _shown(match[0]))
            break


def _shown(text: str) -> str:
    """Enough to find the place, and no more of what may be a patient's."""
    return text[: min(_SHOWN, max(4, len(text) // 2))] + "…"


def _texts_of_card(card: ModelCard) -> Iterator[tuple[str, str]]:
    document = card_document(card)
    for field in _FIELDS_OF_UIDS | _FIELDS_OF_DATES:
        document.pop(field, None)
    yield from _texts_of_document("the card's", document)


def _texts_of_document(where: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield f"a name in {where}", str(name)
            yield from _texts_of_document(f"{where} {name}", each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts_of_document(where, each)


def _texts_of_files(card: ModelCard, files: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    for name, path in files.items():
        if name in card.network.files:
            yield from _texts_of_network(name, path)
        elif path.suffix.lower() in (".json", ".safetensors"):
            yield from _texts_of_trainable(name, path)


def _texts_of_network(name: str, path: Path) -> Iterator[tuple[str, str]]:
    model = onnx.load(str(path), load_external_data=False)
    yield f"the producer of {name}", f"{model.producer_name} {model.producer_version} {model.domain}"
    yield f"the doc string of {name}", model.doc_string
    yield from _metadata(name, model.metadata_props)
    for function in model.functions:
        yield f"a function of {name}", f"{function.name} {function.doc_string}"
        yield from _texts_of_nodes(name, function.node)
    yield from _texts_of_graph(name, model.graph)


def _texts_of_graph(name: str, graph: Any) -> Iterator[tuple[str, str]]:
    yield f"the graph of {name}", f"{graph.name} {graph.doc_string}"
    yield from _metadata(name, getattr(graph, "metadata_props", ()))
    for each in (*graph.input, *graph.output, *graph.value_info):
        yield f"the tensor {each.name[:_SHOWN]} of {name}", f"{each.name} {each.doc_string}"
    for each in graph.initializer:
        yield f"the weights {each.name[:_SHOWN]} of {name}", f"{each.name} {each.doc_string}"
        yield from ((f"the weights {each.name[:_SHOWN]} of {name}", _decoded(text)) for text in each.string_data)
    yield from _texts_of_nodes(name, graph.node)


def _texts_of_nodes(name: str, nodes: Any) -> Iterator[tuple[str, str]]:
    for node in nodes:
        where = f"the node {node.name[:_SHOWN] or node.op_type} of {name}"
        yield where, f"{node.name} {node.doc_string}"
        yield from _metadata(name, getattr(node, "metadata_props", ()))
        for attribute in node.attribute:
            yield where, attribute.doc_string
            value = helper.get_attribute_value(attribute)
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, bytes):
                    yield where, _decoded(each)
                elif isinstance(each, onnx.GraphProto):
                    yield from _texts_of_graph(name, each)
                elif isinstance(each, onnx.TensorProto):
                    yield from ((where, _decoded(text)) for text in each.string_data)


def _metadata(name: str, properties: Any) -> Iterator[tuple[str, str]]:
    for entry in properties:
        yield f"the metadata {entry.key[:_SHOWN]} of {name}", f"{entry.key}: {entry.value}"


def _texts_of_trainable(name: str, path: Path) -> Iterator[tuple[str, str]]:
    """A JSON document, or the header of safetensors: eight bytes of length, and JSON."""
    with path.open("rb") as file:
        if path.suffix.lower() == ".safetensors":
            length = int.from_bytes(file.read(8), "little")
            encoded = file.read(min(length, _LONGEST_HEADER))
        else:
            encoded = file.read(_LONGEST_HEADER)
    try:
        document = json.loads(encoded)
    except (ValueError, RecursionError):
        yield name, _decoded(encoded[:_LONGEST_TEXT])
        return
    yield from _texts_of_document(name, document)


def _decoded(text: bytes) -> str:
    return text[:_LONGEST_TEXT].decode("utf-8", "replace")
