"""The concepts with which a report says why its model was chosen: private coding scheme 99IODEEP (docs/conformance.md)."""

from __future__ import annotations

from enum import Enum

from iodeep.terms import Code, deterministic_uid

SCHEME = "99IODEEP"
SCHEME_NAME = "IODeep terms for the choice of a model"
SCHEME_UID = deterministic_uid("coding scheme", SCHEME)


class Term(Enum):
    """Concept names; the value is the code's meaning, which people read."""

    CHOICE = "Choice of the model"
    SERIES = "Series asked about"
    CHOSEN = "Model chosen"
    OBJECT = "Model object"
    REFUSAL = "Refusal"
    CAUSE = "Cause of the refusal"
    INPUT = "Series for the input"
    NAME = "Name"
    ANATOMY = "What the series shows"
    SHOWN = "Region that counts"
    REGION = "Region"
    ORGAN = "Organ"
    SIDE = "Side"
    CONFIDENCE = "Confidence"
    BORROWED = "Only other series of the study say so"
    CONTRADICTION = "Contradiction"
    EVIDENCE = "Evidence"
    ATTRIBUTE = "Attribute"
    WEIGHT = "Weight"
    RULE = "Rule of the site"
    NOTE = "Note"
    OPEN = "Open question"
    CANDIDATE = "Candidate"
    MODEL = "Model"
    WHERE = "Found in"
    FITS = "Meets every requirement"
    HOLDS = "Requirement that holds"
    FAILS = "Requirement that does not hold"
    UNCHECKED = "Requirement to be checked with the images"
    CRITERION = "Criterion"
    RANKING = "Ranking"
    REASON = "Reason"
    LOOKED_AT = "Candidates looked at"
    NOT_LISTED = "Candidates not listed"

    @property
    def code(self) -> Code:
        """The concept's code; its value has at most 16 characters (PS3.3 8.8)."""
        return Code(self.name, SCHEME, self.value)
