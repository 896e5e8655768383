"""Why series are left over, in an administrator's words: what the cause means, and what can be done about it."""

from __future__ import annotations

from typing import Final, NamedTuple


class Cause(NamedTuple):
    """A cause of refusal: a heading, and a sentence on what to do."""

    title: str
    advice: str


_CAUSES: Final = {
    "series": Cause("Localizers, screen captures, reports", "Nothing to do: no model is meant to be run on these."),
    "region unknown": Cause(
        "Nothing says what part of the body is shown",
        "Have the modality fill in Body Part Examined, or add the site's own words with `vocabulary` in iodeep.toml.",
    ),
    "region uncertain": Cause(
        "Attributes contradict each other or say too little",
        "Correct what contradicts: often Body Part Examined is a scanner's default. Until then no model is run.",
    ),
    "region": Cause(
        "No model for this part of the body", "A model for one of these regions would have to be added to the archive."
    ),
    "modality": Cause("No model for this modality", "A model for this modality would have to be added to the archive."),
    "no model": Cause("No usable model", "The folder or archive has no model that could be used."),
    "kind of series": Cause(
        "Derived images: projections, reformats, maps",
        "As intended, unless a model was made for them: its card then says so under `eligibility`.",
    ),
    "sequence": Cause(
        "Another MR sequence, or words don't tell which",
        "A list holds words only. Where images are at hand, echo and repetition times tell the sequence, and more may fit.",
    ),
    "contrast phase": Cause(
        "Another contrast phase, or words don't tell which",
        "A list holds words only. Where images are at hand, Contrast/Bolus Agent counts too, and more may fit.",
    ),
    "side": Cause("The side of the body is not said", "Have the modality fill in Laterality."),
    "sex": Cause(
        "Whether the patient has the organ is not said",
        "A list holds no Patient's Sex. Where images are at hand it counts, and more may fit.",
    ),
    "disease": Cause("Another disease was asked for", "Nothing to do."),
    "site": Cause("Excluded by the site's own rules", "See `[[selection.rules]]` in iodeep.toml."),
    "trust": Cause("Models that the site does not trust", "See the site's trust policy."),
    "approval": Cause("Models that the site has not approved", "`iodeep states` shows where each stands."),
    "in use": Cause("Models that are retired", "A successor would have to be added to the archive."),
}
_FURTHER_SERIES: Final = Cause(
    "The model needs further series of the same study",
    "A list is decided row by row. With the whole study at hand, more may fit.",
)


def cause_of(name: str) -> Cause:
    """The cause's heading and advice; its own name where it has none."""
    if name.startswith("input "):
        return _FURTHER_SERIES
    return _CAUSES.get(name, Cause(name.capitalize(), "The reasons below name the requirement that is not met."))
