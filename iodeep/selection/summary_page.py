"""The summary as one HTML page: no script, nothing fetched from elsewhere, charts are the page's own boxes."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Final

from iodeep.selection.summary import Summary

CAUSES: Final = {
    "series": "Localizers, screen captures, reports: nothing to run on",
    "region unknown": "Nothing says what part of the body is shown",
    "region uncertain": "Attributes contradict each other, or say too little",
    "region": "No model for this part of the body",
    "modality": "No model for this modality",
    "kind of series": "Derived images, which the models don't take",
    "sequence": "Another MR sequence than the models need",
    "contrast phase": "Another contrast phase than the models need",
}

_STYLE: Final = """
:root { color-scheme: light dark; --bar: #2a6f97; --left: #b08968; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.chart { width: 40%; }
.bar { background: var(--bar); height: 1rem; min-width: 1px; }
.left .bar { background: var(--left); }
ul { margin: .2rem 0; padding-left: 1.2rem; font-size: .85rem; }
"""


def summary_page(summary: Summary, title: str) -> str:
    """The page, as HTML 5 in UTF-8."""
    taken = sum(summary.taken.values())
    left = summary.rows - taken
    told = (
        f"{summary.rows:,} series: {taken:,} ({summary.share(taken):.1%}) would get a model, {left:,} "
        f"({summary.share(left):.1%}) would be refused. Nothing was run. Number of slices, spacing and coverage are only "
        "known once images are read; they can turn more away."
    )
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{told}</p>",
        "<h2>What each model would take</h2>",
        _models(summary),
        "<h2>What is left over, and why</h2>",
        _left_over(summary),
        "<h2>What the series show</h2>",
        _chart(summary, summary.regions, "region"),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _models(summary: Summary) -> str:
    names = sorted({*summary.taken, *summary.also_fits}, key=lambda name: (-summary.taken[name], name))
    rows = [
        _row(summary, name, summary.taken[name], f'<td class="number">{summary.also_fits[name]:,}</td>')
        for name in names
    ]
    head = _head("model", '<th scope="col" class="number">fits too, ranked lower</th>')
    return f"<table>{head}{''.join(rows)}</table>"


def _left_over(summary: Summary) -> str:
    rows = []
    for cause, count in summary.refused.most_common():
        told = "".join(f"<li>{escape(reason)}</li>" for reason in summary.examples.get(cause, []))
        rows.append(_row(summary, CAUSES.get(cause, cause), count, f"<td><ul>{told}</ul></td>"))
    return f'<table class="left">{_head("cause", "<th scope=col>examples</th>")}{"".join(rows)}</table>'


def _chart(summary: Summary, counts: Counter[str], heading: str) -> str:
    rows = [_row(summary, name, count, "") for name, count in counts.most_common()]
    return f"<table>{_head(heading, '')}{''.join(rows)}</table>"


def _head(first: str, further: str) -> str:
    return (
        f'<tr><th scope="col">{first}</th><th scope="col" class="number">series</th>'
        f'<th scope="col" class="number">share</th><th scope="col">chart</th>{further}</tr>'
    )


def _row(summary: Summary, name: str, count: int, further: str) -> str:
    share = summary.share(count)
    chart = f'<td class="chart"><div class="bar" style="width:{share:.2%}"></div></td>'
    return (
        f'<tr><th scope="row">{escape(name)}</th><td class="number">{count:,}</td>'
        f'<td class="number">{share:.1%}</td>{chart}{further}</tr>'
    )
