"""What no line of a log may hold: credentials never, and what names a patient only where the site asks for it.

This is the net below the rule that our own messages name UIDs alone: libraries, tracebacks and requests are not ours to word.
A line may quote what a hostile peer sent: it is cut, and no pattern looks far ahead, so that no line takes long.
"""

from __future__ import annotations

import re

HIDDEN = "***"
MOST_CHARACTERS = 1 << 15
"""Of a line; the rest is left out before anything is looked for, so that no half of a secret stays."""
_SIGN = r"""(["']?\s*[=:]\s*["']?)"""
_SECRETS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    (re.compile(r"\b(iodeep_[0-9a-f]{12})_[\w-]{16,}"), rf"\1_{HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{8,4096}\.[\w-]+\.?[\w-]*"), HIDDEN),
    (re.compile(r"(://[^\s:/@]{0,512}):[^\s@]{0,512}@"), rf"\1:{HIDDEN}@"),
    (re.compile(rf"(?i)\b((?:proxy-)?authorization){_SIGN}(\w+ +)?[^\s\"',]+"), rf"\1\2\3{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w\-.~+/=]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(rf"(?i)\b((?:set-)?cookie){_SIGN}[^\n\"']+"), rf"\1\2{HIDDEN}"),
    (
        re.compile(rf"(?i)((?:password|passwd|secret|token|api[-_ ]?key|code_verifier)){_SIGN}(?!\*\*\*)[^\s\"'&,;]+"),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"([?&](?:code|state|key)=)[^&\s\"']+"), rf"\1{HIDDEN}"),
)
_FIELDS = (
    r"patient'?s?[ _]?(?:names?|ids?|birth[ _]?dates?|address(?:es)?|comments?)"
    r"|other[ _]?patient[ _]?(?:ids?|names?)|issuer[ _]?of[ _]?patient[ _]?id|accession[ _]?numbers?"
    r"|(?:referring[ _]?physician|responsible[ _]?person)'?s?[ _]?names?"
)
_PATIENTS = (
    (
        re.compile(
            r"\((0010|0008|0038|0040),\s?([0-9A-Fa-f]{4})\)([^\n]{0,200}?\b(?:PN|LO|SH|DA|AS|LT|ST|UT)\b)[^\n]*"
        ),
        rf"(\1,\2)\3 {HIDDEN}",
    ),
    (
        re.compile(r"""(["']0010[0-9A-Fa-f]{4}["']\s*:\s*)\{[^{}]{0,4096}(?:\{[^{}]{0,4096}\}[^{}]{0,4096}){0,64}\}"""),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"([?&]0010[0-9A-Fa-f]{4}=)[^&\s\"']*"), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)\b({_FIELDS}){_SIGN}(?!\*\*\*)[^\n\"'&,;]+"), rf"\1\2{HIDDEN}"),
    (re.compile(rf"(?i)\b((?:{_FIELDS})\s+)([\"'])[^\n\"']+\2"), rf"\1\2{HIDDEN}\2"),
    (re.compile(r"(?<![^\W_])[^\W_][\w'.\-]{0,256}\^[\w'.\-^=]*"), HIDDEN),
)
"""Elements of a dump, DICOM JSON, queries, `PatientName=...`, and whatever looks like a person's name (PS3.5 6.2, VR PN)."""


def redacted(text: str, *, patient_data: bool = False) -> str:
    """The text without credentials, and without what names a patient unless ``patient_data``; what is very long is cut."""
    if len(text) > MOST_CHARACTERS:
        text = f"{text[:MOST_CHARACTERS]} ... ({len(text) - MOST_CHARACTERS} more characters)"
    for pattern, instead in _SECRETS if patient_data else _SECRETS + _PATIENTS:
        text = pattern.sub(instead, text)
    return text
