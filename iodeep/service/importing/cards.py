"""A source's words and a person's become one card: what the source says stands, and what it doesn't is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from iodeep.card import ModelCard, Network, Postprocessing, Preprocessing, card_document
from iodeep.errors import CardError, InputError
from iodeep.packing.importing import ImportedNetwork, Question

_ASKED = {
    "name": "How is the model called? At most 48 characters.",
    "token": "A short name in capitals for Patient ID, such as BRAINMASK.",
    "version": 'Which version is it, such as "1.0.0"?',
    "released": "When was it released: YYYY-MM-DD?",
    "summary": "What does it do, in one line of at most 64 characters?",
    "qualification": "RESEARCH, PRODUCT or SERVICE?",
    "developer.name": "Who made it and answers for it?",
    "developer.contact": "How are they reached?",
    "licence.spdx": "Under what licence: an SPDX identifier, or a name and its text?",
    "licence.source": "Where was it published?",
    "intended_use.purpose": "What is it for?",
    "intended_use.limits": "What must it not be used for? At least one sentence.",
    "target.regions": "Which body parts: Body Part Examined defined terms of PS3.16 Annex L, such as HEAD?",
    "training.description": "What did it learn from?",
}
_OF_A_SEGMENT = {
    "label": "How is it called?",
    "category": "What category is it: a coded term of CID 7150, such as 123037004 SCT Anatomical Structure?",
    "type": "What is it: a coded term of CID 7151, such as 10200004 SCT Liver?",
}
_STEPS: dict[str, TypeAdapter[Any]] = {
    "preprocessing": TypeAdapter(tuple[Preprocessing, ...]),
    "postprocessing": TypeAdapter(tuple[Postprocessing, ...]),
    "network": TypeAdapter(Network),
}


def questions(found: ImportedNetwork) -> tuple[Question, ...]:
    """What a draft lacks, the importer's own questions first."""
    draft = drafted(found)
    known = {question.field for question in found.questions}
    return (*found.questions, *(question for question in _generic(draft) if question.field not in known))


def _generic(draft: Mapping[str, Any]) -> Iterator[Question]:
    for field, sentence in _ASKED.items():
        if _value(draft, field) is None:
            yield Question(field, sentence)
    for number, given in enumerate(draft.get("inputs") or [{}]):
        if "modality" not in given:
            yield Question(f"inputs.{number}.modality", "Of which modality is this input: CT, MR ...?")
    for number, segment in enumerate(_value(draft, "segmentation.segments") or ()):
        for name, sentence in _OF_A_SEGMENT.items():
            if segment.get(name) is None:
                yield Question(
                    f"segmentation.segments.{number}.{name}", f"{segment.get('label', '')}: {sentence}".lstrip(": ")
                )
    if draft.get("segmentation") is None and not draft.get("classifications"):
        yield Question(
            "segmentation", "What do the output's channels mean: tensor, decode and segments (docs/card.md)?"
        )


def _value(document: Mapping[str, Any], field: str) -> Any:
    found: Any = document
    for step in field.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def drafted(found: ImportedNetwork) -> dict[str, Any]:
    """The card as far as the source says it, and as it may be written."""
    return {"schema_version": "1"} | _merged(found.suggested, found.card)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def draft_text(found: ImportedNetwork) -> str:
    """The draft as YAML, headed by what is asked for."""
    lines = [f"# A card of what the source says ({found.kind}, {found.framework}). Asked for besides:"]
    lines += [f"#   {question.field}: {question.sentence}" for question in questions(found)]
    lines += ["# Complete it, and give it with --card. docs/card.md explains every field.", ""]
    lines = [" ".join(line.splitlines()) for line in lines]
    return "\n".join(lines) + "\n" + yaml.safe_dump(_plain(drafted(found)), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    """Without what says nothing."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items() if each is not None}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def check_agrees(found: ImportedNetwork, card: ModelCard) -> None:
    """CardError naming each field in which ``card`` says something else than the source."""
    document = card_document(card)
    full = card.model_dump(mode="json")
    if unknown := sorted(set(found.card) - set(full)):
        raise InputError(f"the source says {unknown[0][:80]!r}, which no card has")
    said = {name: _whole(name, value) for name, value in found.card.items()}
    wrong = [
        sentence
        for name, value in said.items()
        for sentence in _differences(name, value, (full if name in _STEPS else document).get(name))
    ]
    if wrong:
        raise CardError(
            f"the card contradicts the source: {'; '.join(wrong[:8])}",
            found=f"{len(wrong)} fields",
            remedy="Say what the source says there, or pack the network as ONNX with a card of your own.",
        )


def _whole(name: str, value: Any) -> Any:
    """Steps and the network with their defaults, so that silence means them.

    But for ``orient`` without axes: a source that doesn't keep how its training images lay leaves them to be asked for.
    """
    if name not in _STEPS:
        return value
    if name == "preprocessing" and isinstance(value, list | tuple) and value and value[0] == {"step": "orient"}:
        return [value[0], *_whole(name, value[1:])]
    try:
        return _STEPS[name].dump_python(_STEPS[name].validate_python(value), mode="json")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise InputError(
            f"what the source says of {name} is nothing that a card can say: {problem['msg']}",
            found=".".join(str(step) for step in problem["loc"]),
        ) from error


def _differences(where: str, said: Any, card: Any) -> Iterator[str]:
    if isinstance(said, Mapping):
        given = card if isinstance(card, Mapping) else {}
        for name, value in said.items():
            yield from _differences(f"{where}.{name}", value, given.get(name))
    elif isinstance(said, list | tuple):
        if not isinstance(card, list | tuple) or len(card) != len(said):
            yield f"{where} is {_short(said)} in the source and {_short(card)} in the card"
            return
        for number, (value, given) in enumerate(zip(said, card, strict=True)):
            yield from _differences(f"{where}.{number}", value, given)
    elif said != card:
        yield f"{where} is {_short(said)} in the source and {_short(card)} in the card"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
