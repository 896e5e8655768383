"""``docs/README.md`` of a bundle: the card in words, and what the configuration does otherwise than the card says.

Every word of a card is shown as it is: no markup in it counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iodeep.card import ModelCard
from iodeep.packing.exporting.plain import in_markdown

_QUALIFICATIONS = {
    "RESEARCH": "For research only: not for diagnosis or treatment.",
    "PRODUCT": "A product.",
    "SERVICE": "A service.",
}


def readme(card: ModelCard, origin: Sequence[str], unsaid: Sequence[str]) -> str:
    """Markdown. ``origin``: lines on where the files are from. ``unsaid``: what MONAI does otherwise."""
    lines = [f"# {in_markdown(card.name)} {card.version}", "", in_markdown(card.summary), ""]
    for title, texts in _sections(card, origin):
        lines += [f"## {title}", "", *(f"- {in_markdown(text)}" for text in texts), ""]
    lines += ["## What this bundle does otherwise than the card", ""]
    lines += [f"- {in_markdown(text)}" for text in unsaid] or ["Nothing that is known of."]
    lines += ["", _USAGE]
    return "\n".join(lines)


_USAGE = """## Use

`models/` holds the networks as ONNX, `configs/inference.json` what is done before and after them, and `card.yaml` all of it as the
card of the model says it. Put series (folders of DICOM files, or NIfTI files) into a folder, then:

    python -m monai.bundle run --config_file configs/inference.json --bundle_root . --dataset_dir FOLDER

It needs `monai[ignite,pydicom,nibabel]`, `torch` and `onnxruntime`. Whoever changes the configuration has another model than the
one that was tested.
"""


def _sections(card: ModelCard, origin: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    yield "Intended use", [card.intended_use.purpose, f"For {card.intended_use.users}"]
    yield "Limits", [_QUALIFICATIONS[card.qualification], *card.intended_use.limits]
    yield "Takes", [_taken(card, number) for number in range(len(card.inputs))]
    yield "Gives", _given(card)
    figures = [
        f"{each.metric} {each.value:g} in {each.cases} cases of {each.test_set}"
        + ("" if each.low is None or each.high is None else f" (95 % interval {each.low:g} to {each.high:g})")
        for each in card.performance
    ]
    yield "Evidence", figures or ["None was given."]
    cases = f" ({card.training.cases} cases)" if card.training.cases else ""
    yield "Trained on", [card.training.description + cases]
    yield "Developer", [f"{card.developer.name}, {card.developer.contact}", *filter(None, [card.developer.url])]
    yield "Licence", [card.licence.spdx, card.licence.source]
    yield "Origin", list(origin) or ["Unknown."]


def _taken(card: ModelCard, number: int) -> str:
    asked = card.inputs[number]
    words = " ".join(each.value for each in (*asked.sequences, *asked.phases) if each.value != "ANY")
    regions = ", ".join(card.target.regions)
    return f"{asked.name}: {' '.join(filter(None, [asked.modality, words]))} of {regions}"


def _given(card: ModelCard) -> list[str]:
    segments = card.segmentation.segments if card.segmentation else ()
    labels = [f"{each.number}: {each.label} ({each.type.scheme} {each.type.value})" for each in segments]
    return [*labels, *(head.name for head in card.classifications)]
