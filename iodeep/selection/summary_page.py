"""The summary as one HTML page: no script, nothing fetched from elsewhere; every chart stands beside its figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final

from iodeep.selection.summary import OTHERS, Description, Group, Summary, by_count
from iodeep.selection.summary_causes import cause_of

_SHOWN: Final = 6
"""Descriptions of a group that are seen at once."""
_LISTED: Final = 60
"""Descriptions of a group in all; the others open on demand."""
_KINDS: Final = 8
_COLOURS: Final = 6
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""Whatever a description holds, a browser fetches and runs nothing."""
_LIMITS: Final = (
    "Number of slices, spacing and coverage are only known once images are read; they can turn more series away. "
    "MR sequence and contrast phase are told by words here; parameters of the images can let more in."
)
_NONE: Final = '<em class="none">empty</em>'


def summary_page(summary: Summary, title: str) -> str:
    """The page, as HTML 5 in UTF-8; ``title``: what the table is called."""
    taken = sum(summary.taken.values())
    parts = (
        "<h1>Which series would get a model, and which would not</h1>",
        f'<p class="source">{escape(title)}: one row counts as one series. Nothing was run.</p>',
        _figures(summary, taken),
        _split(summary, taken),
        f'<div class="halves">{_models(summary)}{_causes(summary)}</div>',
        _groups("What is left over, and what can be done", "cause", _causes_in_detail(summary)),
        _groups("What each model would take", "model", _models_in_detail(summary)),
        _regions(summary),
        f"<footer>{_LIMITS}</footer>",
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}: which series would get a model</title><style>{_style()}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


@cache
def _style() -> str:
    return files("iodeep.selection").joinpath("summary.css").read_text(encoding="utf-8")


def _figures(summary: Summary, taken: int) -> str:
    left = summary.rows - taken
    entries = (
        ("", f"{summary.rows:,}", "series in the list"),
        ("taken", f"{taken:,} <small>({summary.share(taken):.1%})</small>", "would get a model"),
        ("left", f"{left:,} <small>({summary.share(left):.1%})</small>", "would be refused, with a reason"),
        ("", f"{len(summary.models):,}", "models would be used"),
    )
    told = "".join(
        f'<div class="figure card {kind}"><dt>{name}</dt><dd>{figure}</dd></div>' for kind, figure, name in entries
    )
    return f'<dl class="figures">{told}</dl>'


def _split(summary: Summary, taken: int) -> str:
    """One bar of all series: what the largest models take, the other models, and what is left over."""
    largest = by_count(summary.taken)[: _COLOURS - 1]
    others = taken - sum(count for _, count in largest)
    shares = [(f"m{place}", name, count) for place, (name, count) in enumerate(largest, start=1)]
    shares += [(f"m{_COLOURS}", "other models", others)] if others else []
    shares += [("rest", "no model", summary.rows - taken)]
    bars = "".join(f'<span class="{kind}" style="flex:{count} 0 0"></span>' for kind, _, count in shares if count)
    told = "".join(
        f'<li><i class="{kind}"></i>{escape(name)} <strong>{summary.share(count):.1%}</strong></li>'
        for kind, name, count in shares
    )
    return f'<div class="card"><div class="split" aria-hidden="true">{bars}</div><ul class="legend">{told}</ul></div>'


def _models(summary: Summary) -> str:
    names = sorted({*summary.models, *summary.also_fits}, key=lambda name: (-summary.taken[name], name))
    rows = "".join(
        _row(summary, _linked(name, f"model-{place}", linked=name in summary.models), summary.taken[name], 0,
             f'<td class="number">{summary.also_fits[name]:,}</td>')
        for place, name in enumerate(names, start=1)
    )  # fmt: skip
    head = _head(
        ("model", ""), ("series", "number"), ("share", "number"), ("of all series", "chart"), ("fits too", "number")
    )
    caption = "“Fits too”: it would fit these as well, but another model ranks higher."
    table = f"<table><caption>{caption}</caption>{head}<tbody>{rows}</tbody></table>"
    return _half("Would get a model", table if names else "<p>No model would be run on any of these series.</p>")


def _causes(summary: Summary) -> str:
    rows = "".join(
        _row(summary, _linked(cause_of(name).title, f"cause-{place}"), 0, count, "")
        for place, (name, count) in enumerate(by_count(summary.refused), start=1)
    )
    head = _head(("cause", ""), ("series", "number"), ("share", "number"), ("of all series", "chart"))
    table = f"<table><caption>Each series once, by its most telling reason; the links lead to descriptions.</caption>{head}<tbody>{rows}</tbody></table>"
    return _half("Would be left over", table if rows else "<p>Every series would get a model.</p>")


def _half(heading: str, content: str) -> str:
    return f'<section class="card"><h2>{heading}</h2>{content}</section>'


def _linked(name: str, anchor: str, *, linked: bool = True) -> str:
    return f'<a href="#{anchor}">{escape(name)}</a>' if linked else escape(name)


def _row(summary: Summary, name: str, taken: int, left: int, further: str) -> str:
    count = taken + left
    return (
        f'<tr><th scope="row">{name}</th><td class="number">{count:,}</td><td class="number">{summary.share(count):.1%}</td>'
        f'<td class="chart">{_track(summary, taken, left)}</td>{further}</tr>'
    )


def _groups(heading: str, kind: str, cards: Sequence[tuple[str, str, Group]]) -> str:
    """A card a group: how many, what can be done, and how the series are described."""
    told = "".join(_group(f"{kind}-{place}", kind, *card) for place, card in enumerate(cards, start=1))
    return f'<section><h2>{heading}</h2><div class="groups">{told}</div></section>' if cards else ""


def _causes_in_detail(summary: Summary) -> list[tuple[str, str, Group]]:
    named = [(cause_of(name), summary.causes[name]) for name, _ in by_count(summary.refused)]
    return [(cause.title, cause.advice, group) for cause, group in named]


def _models_in_detail(summary: Summary) -> list[tuple[str, str, Group]]:
    return [(name, "", summary.models[name]) for name, _ in by_count(summary.taken)]


def _group(anchor: str, kind: str, title: str, advice: str, group: Group) -> str:
    told = f'<p class="advice">{_marked(advice)}</p>' if advice else ""
    return (
        f'<section class="card {kind}" id="{anchor}"><header><h3>{escape(title)}</h3>'
        f'<span class="count">{group.rows:,} series</span></header>'
        f'<p class="muted">{_kinds(group)}</p>{told}{_descriptions(group, _SHOWN)}{_more(group)}{_example(group)}</section>'
    )


def _kinds(group: Group) -> str:
    """Modalities and regions of a group, the most frequent first."""
    told = (by_count(group.modalities)[:_KINDS], by_count(group.regions)[:_KINDS])
    return "; ".join(", ".join(f"{escape(name)} {count:,}" for name, count in counts) for counts in told)


def _more(group: Group) -> str:
    further = len(group.descriptions) - _SHOWN
    if further <= 0:
        return ""
    shown = min(further, _LISTED - _SHOWN)
    of_all = f" of {further:,} more" if shown < further else " more"
    return (
        f"<details><summary>{shown:,}{of_all} descriptions</summary>{_descriptions(group, _LISTED, _SHOWN)}</details>"
    )


def _example(group: Group) -> str:
    described, _ = group.most_frequent(1)[0]
    reason = group.reasons.get(described, "")
    return (
        f"<details><summary>the reason given for the first</summary><p>{escape(reason)}</p></details>" if reason else ""
    )


def _descriptions(group: Group, most: int, after: int = 0) -> str:
    rows = "".join(_description(described, count) for described, count in group.most_frequent(most)[after:])
    head = _head(
        ("series", "number"), ("modality", "short"), ("body part", "short"), ("study", ""), ("series description", "")
    )
    return f"<table><caption>Most frequent first</caption>{head}<tbody>{rows}</tbody></table>"


def _description(described: Description, count: int) -> str:
    if described == OTHERS:
        return f'<tr><td class="number">{count:,}</td><td colspan="4">without any words, or not listed</td></tr>'
    cells = [escape(text) or _NONE for text in described]
    short = "".join(f'<td class="short">{cell}</td>' for cell in cells[:2])
    long = "".join(f"<td>{cell}</td>" for cell in cells[2:])
    return f'<tr><td class="number">{count:,}</td>{short}{long}</tr>'


def _regions(summary: Summary) -> str:
    rows = "".join(
        _row(summary, escape(name), summary.taken_regions[name], count - summary.taken_regions[name],
             f'<td class="number">{summary.taken_regions[name]:,}</td>')
        for name, count in by_count(summary.regions)
    )  # fmt: skip
    head = _head(
        ("region", ""),
        ("series", "number"),
        ("share", "number"),
        ("of all series", "chart"),
        ("with a model", "number"),
    )
    caption = (
        "Defined terms of Body Part Examined, as read from all that the rows say. Bars: with a model, and without."
    )
    table = f"<table><caption>{caption}</caption>{head}<tbody>{rows}</tbody></table>"
    return f'<section><h2>What the series show</h2><div class="card">{table}</div></section>'


def _head(*columns: tuple[str, str]) -> str:
    cells = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in columns)
    return f"<thead><tr>{cells}</tr></thead>"


def _track(summary: Summary, taken: int, left: int) -> str:
    """A bar of all series with what a model takes and what is left; the figures stand beside it."""
    parts = (("", taken), (' class="rest"', left))
    bars = "".join(f'<b{kind} style="width:{summary.share(count):.3%}"></b>' for kind, count in parts if count)
    return f'<div class="track" aria-hidden="true">{bars}</div>'


def _marked(text: str) -> str:
    """Names between backticks as code."""
    pieces: Sequence[str] = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))
