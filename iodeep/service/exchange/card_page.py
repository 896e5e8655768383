"""A model's card for people: a page that needs no script and fetches nothing, and the same as plain text.

Every word of a card comes from outside: it is escaped, and the page's policy lets a browser run and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from html import escape
from importlib.resources import files

from iodeep.card import ModelCard, NetworkInput, Performance
from iodeep.model_object import ModelDescriptor, ModelIdentity

QUALIFICATIONS = {
    "RESEARCH": "For research only: not for diagnosis or treatment.",
    "PRODUCT": "A product.",
    "SERVICE": "A service.",
}
"""Content Qualification (0018,9004) in words."""
_EVIDENCE_WIDTH = 240


def card_page(descriptor: ModelDescriptor) -> str:
    """The page that goes with a model on its media."""
    return page(
        f"{descriptor.card.name} {descriptor.card.version}",
        model_article(descriptor.card, descriptor.identity, descriptor.study_instance_uid, descriptor.total_bytes)
        + f"<footer><p>{escape(_WHAT_TO_DO)}</p></footer>",
    )


def card_text(descriptor: ModelDescriptor) -> str:
    """The same in plain text."""
    card, identity = descriptor.card, descriptor.identity
    lines = [f"{card.name} {card.version}", card.summary, ""]
    for name, values in _rows(card, identity, descriptor.study_instance_uid, descriptor.total_bytes):
        lines += [f"{name}:", *(f"  {value}" for value in values)]
    return "\n".join([*lines, "", _WHAT_TO_DO, ""])


_WHAT_TO_DO = (
    "This is a trained network as a DICOM study. Before it is used, compare the manifest's SHA-256 above with the one "
    "that the sender told by another way, then: iodeep import THIS-FOLDER --to PACS"
)


def page(title: str, body: str) -> str:
    """One HTML 5 page in UTF-8 around ``body``, which is escaped already."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def model_article(card: ModelCard, identity: ModelIdentity, study: str, total_bytes: int) -> str:
    """Everything about one model."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{'<br>'.join(map(escape, values))}</dd>"
        for name, values in _rows(card, identity, study, total_bytes)
        if name not in _SHOWN_APART
    )
    limits = "".join(f"<li>{escape(limit)}</li>" for limit in card.intended_use.limits)
    return (
        f'<article class="model"><header><p class="tags">{tags(card)}</p>'
        f'<h1>{escape(card.name)} <span class="version">{card.version}</span></h1>'
        f'<p class="summary">{escape(card.summary)}</p></header>'
        f'<p class="qualification {card.qualification.lower()}">{QUALIFICATIONS[card.qualification]}</p>'
        f'<div class="halves"><section class="card"><h2>Intended use</h2><p>{escape(card.intended_use.purpose)}</p>'
        f'<p class="muted">For {escape(card.intended_use.users)}</p></section>'
        f'<section class="card limits"><h2>Limits</h2><ul>{limits}</ul></section></div>'
        f'<section class="card"><h2>Evidence</h2>{_evidence(card)}</section>'
        f'{_segments(card)}<section class="card"><h2>Particulars</h2><dl class="rows">{rows}</dl></section></article>'
    )


def tags(card: ModelCard) -> str:
    """Modality, regions and conditions, as short marks."""
    words = [card.modality, *card.target.regions, *(term.meaning for term in card.target.conditions)]
    return "".join(f'<span class="tag">{escape(word)}</span>' for word in words)


_SHOWN_APART = frozenset({"Purpose", "Users", "Limits", "Evidence", "Qualification"})


def _rows(card: ModelCard, identity: ModelIdentity, study: str, total_bytes: int) -> Iterator[tuple[str, list[str]]]:
    """What there is to say, in the order of importance."""
    yield "Qualification", [QUALIFICATIONS[card.qualification]]
    yield "Purpose", [card.intended_use.purpose]
    yield "Users", [card.intended_use.users]
    yield "Limits", list(card.intended_use.limits)
    yield "Licence", [card.licence.spdx, *([card.licence.text] if card.licence.text else [])]
    yield "Source", [card.licence.source]
    yield "Developer", [f"{card.developer.name}, {card.developer.contact}", *filter(None, [card.developer.url])]
    yield "Takes", [_input(each) for each in card.inputs]
    yield (
        "Gives",
        [
            *(
                [f"segments: {', '.join(each.label for each in card.segmentation.segments)}"]
                if card.segmentation
                else []
            ),
            *(head.name for head in card.classifications),
        ],
    )
    yield "Trained on", [card.training.description + (f" ({card.training.cases} cases)" if card.training.cases else "")]
    yield "Evidence", [_figure(each) for each in card.performance] or ["None was given."]
    yield "Released", [card.released.isoformat()]
    networks = "1 network" if len(card.network.files) == 1 else f"{len(card.network.files)} networks"
    yield "Size", [f"{total_bytes / 1e6:.1f} MB, {networks}"]
    yield "Study", [study]
    yield "Descriptor", [identity.sop_instance_uid]
    yield "Manifest, SHA-256", [identity.manifest_sha256]


def _input(asked: NetworkInput) -> str:
    words = " ".join(each.value for each in (*asked.sequences, *asked.phases) if each.value != "ANY")
    return f"{asked.name}: {asked.modality} {words}".strip()


def _figure(each: Performance) -> str:
    interval = "" if each.low is None or each.high is None else f" ({each.low:g} to {each.high:g})"
    return f"{each.metric} {each.value:g}{interval}, {each.test_set}, {each.cases} cases"


def _evidence(card: ModelCard) -> str:
    if not card.performance:
        return '<p class="muted">None was given.</p>'
    rows = "".join(
        f"<tr><th>{escape(each.metric)}</th><td class=number>{each.value:g}</td><td>{_interval(each)}</td>"
        f"<td>{escape(each.test_set)}</td><td class=number>{each.cases}</td></tr>"
        for each in card.performance
    )
    head = (
        "<th>measure</th><th class=number>value</th><th>95 % interval</th><th>test set</th><th class=number>cases</th>"
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _interval(each: Performance) -> str:
    """A bar from 0 to 1 where the measure has these ends, beside the figures; figures alone elsewhere."""
    told = "" if each.low is None or each.high is None else f"{each.low:g} to {each.high:g}"
    low, high = each.low if each.low is not None else each.value, each.high if each.high is not None else each.value
    if not 0 <= low <= each.value <= high <= 1:
        return told
    at, start, width = (round(x * _EVIDENCE_WIDTH) for x in (each.value, low, high - low))
    return (
        f'<svg viewBox="0 0 {_EVIDENCE_WIDTH} 12" width="{_EVIDENCE_WIDTH}" height="12" aria-hidden="true">'
        f'<rect class="track" width="{_EVIDENCE_WIDTH}" height="6" y="3" rx="3"/>'
        f'<rect class="interval" x="{start}" width="{max(width, 1)}" height="6" y="3"/>'
        f'<circle class="value" cx="{min(max(at, 5), _EVIDENCE_WIDTH - 5)}" cy="6" r="5"/></svg> {told}'
    )


def _segments(card: ModelCard) -> str:
    if card.segmentation is None:
        return ""
    swatches = "".join(
        '<li><svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">'
        f'<rect width="16" height="16" rx="4" fill="rgb({",".join(map(str, each.rgb))})"/></svg>{escape(each.label)}'
        + ("" if each.type.meaning == each.label else f'<span class="muted"> {escape(each.type.meaning)}</span>')
        + "</li>"
        for each in card.segmentation.segments
    )
    return f'<section class="card"><h2>Segments</h2><ul class="segments">{swatches}</ul></section>'


@cache
def _style() -> str:
    return files("iodeep.service.exchange").joinpath("pages.css").read_text(encoding="utf-8")
