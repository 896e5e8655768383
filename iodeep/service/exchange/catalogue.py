"""The models of an archive as pages that a site can publish: cards, evidence, limits and licences; no script, nothing fetched.

Only models that hold and that the site trusts are shown; the others are counted for whoever writes the pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from iodeep.errors import InputError
from iodeep.model_object.local_files import storage_errors, whole_folder
from iodeep.selection import Candidate, UnusableModel
from iodeep.service.exchange.card_page import QUALIFICATIONS, model_article, page, tags

INDEX = "index.html"


@dataclass(frozen=True)
class Published:
    """How many models the pages show, and what was left out and why."""

    shown: int
    left_out: tuple[str, ...]


def write_catalogue(found: Sequence[Candidate | UnusableModel], out: Path, title: str) -> Published:
    """The pages in ``out``, a folder that is new or empty. Raises InputError where no model can be shown."""
    shown = [each for each in found if isinstance(each, Candidate) and _is_shown(each)]
    if not shown:
        raise InputError("there is no model to show", found=f"{len(found)} that cannot be used or are not trusted")
    shown.sort(key=lambda each: (each.card.name.casefold(), each.card.name, -each.card.version.number, each.uid))
    with whole_folder(out) as folder, storage_errors(out):
        (folder / INDEX).write_text(_index(shown, title), encoding="utf-8")
        for each in shown:
            (folder / _file_name(each)).write_text(_model_page(each, title), encoding="utf-8")
    return Published(len(shown), tuple(_left_out(each) for each in found if each not in shown))


def _is_shown(candidate: Candidate) -> bool:
    return candidate.identity is not None and not candidate.retired and not candidate.distrusted


def _left_out(each: Candidate | UnusableModel) -> str:
    reason = each.reason if isinstance(each, UnusableModel) else each.retired or each.distrusted
    return f"{each.name}: {reason}"


def _file_name(candidate: Candidate) -> str:
    """Of the card's token (A-Z, 0-9, -), the version and the manifest: nothing in it is free text."""
    assert candidate.identity is not None
    return f"{candidate.card.token}-{candidate.card.version}-{candidate.identity.manifest_sha256[:12]}.html"


def _index(shown: Sequence[Candidate], title: str) -> str:
    count = "1 model" if len(shown) == 1 else f"{len(shown)} models"
    entries = "".join(_entry(each) for each in shown)
    return page(
        title,
        f'<header><h1>{escape(title)}</h1><p class="summary">{count}. Each is a DICOM study that another hospital can '
        f"take as it is: its card says what it is for, and what it must not be used for.</p></header>"
        f'<div class="models">{entries}</div>'
        "<footer><p>Nothing on this page is medical advice. What a model may be used for is said by its own card.</p></footer>",
    )


def _entry(candidate: Candidate) -> str:
    card = candidate.card
    best = card.performance[0] if card.performance else None
    evidence = f"{escape(best.metric)} {best.value:g}, {best.cases} cases" if best else "no figures given"
    return (
        f'<article class="card"><p class="tags">{tags(card)}</p>'
        f'<h2><a href="{_file_name(candidate)}">{escape(card.name)}</a> <span class="version">{card.version}</span></h2>'
        f"<p>{escape(card.summary)}</p>"
        f'<p class="limit">{escape(card.intended_use.limits[0])}</p>'
        f'<p class="foot"><span>{escape(card.licence.spdx)}</span><span>{evidence}</span></p></article>'
    )


def _model_page(candidate: Candidate, title: str) -> str:
    assert candidate.identity is not None
    article = model_article(
        candidate.card, candidate.identity, candidate.study_instance_uid, candidate.total_bytes or 0
    )
    return page(
        f"{candidate.name} · {title}",
        f'<nav><p><a href="{INDEX}">All models</a></p></nav>{article}'
        f"<footer><p>{QUALIFICATIONS[candidate.card.qualification]}</p></footer>",
    )
