"""Why a model was chosen, as content items of the report: a container after the measurements.

TID 1500 is extensible (PS3.16 6.2.3), so a report may hold content of its own beside the template's; its concepts are
private, and Coding Scheme Identification says whose they are. Texts come first, so that any viewer of structured reports
shows them; :mod:`iodeep.results.decision_reading` reads the same record back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from highdicom import sr
from highdicom.sr import ContentItem, ContentSequence, RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from iodeep.results.decision_terms import SCHEME, SCHEME_NAME, SCHEME_UID, Term
from iodeep.results.provenance import MANUFACTURER, concept

Record = Mapping[str, Any]
_CONTAINS = RelationshipTypeValues.CONTAINS
_MODIFIES = RelationshipTypeValues.HAS_CONCEPT_MOD
_PROPERTY = RelationshipTypeValues.HAS_PROPERTIES


def decision_content(record: Record) -> ContentItem:
    """The container of a record as :func:`iodeep.selection.decision_record` gives it."""
    return _container(
        Term.CHOICE,
        [
            *_optional(Term.CHOSEN, record["chosen"]),
            *_optional(Term.OBJECT, record["chosen_uid"]),
            *_optional(Term.REFUSAL, record["refusal"]),
            *_optional(Term.CAUSE, record["refused_for"]),
            *_texts(Term.SERIES, record["series"]),
            *_inputs(record["inputs"]),
            *_texts(Term.NOTE, record["notes"]),
            *_texts(Term.OPEN, record["open_questions"]),
            _anatomy(record["anatomy"]),
            *_texts(Term.RULE, record["rules"]),
            *(_candidate(each) for each in record["candidates"]),
            _number(Term.LOOKED_AT, record["looked_at"]),
            *(
                _with(_number(Term.NOT_LISTED, count), _text(Term.CRITERION, criterion, _MODIFIES))
                for criterion, count in record["not_listed"].items()
            ),
        ],
    )


def identify_scheme(dataset: Dataset) -> None:
    """Coding Scheme Identification Sequence (0008,0110) for the private scheme (PS3.3 C.12.1.1.1.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeUID = SCHEME_UID
    item.CodingSchemeName = SCHEME_NAME
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    dataset.CodingSchemeIdentificationSequence = [*dataset.get("CodingSchemeIdentificationSequence", []), item]


def _anatomy(shown: Record) -> ContentItem:
    return _container(
        Term.ANATOMY,
        [
            *_optional(Term.SHOWN, shown["shown"]),
            *_texts(Term.REGION, shown["regions"]),
            *_optional(Term.ORGAN, shown["organ"]),
            *_optional(Term.SIDE, shown["side"]),
            _number(Term.CONFIDENCE, shown["confidence"]),
            _yes_or_no(Term.BORROWED, shown["borrowed"]),
            *_texts(Term.CONTRADICTION, shown["contradictions"]),
            *(_evidence(each) for each in shown["evidence"]),
        ],
    )


def _evidence(found: Record) -> ContentItem:
    return _with(
        _text(Term.EVIDENCE, found["words"] or "(none)"),
        _text(Term.ATTRIBUTE, found["attribute"], _MODIFIES),
        _text(Term.REGION, found["region"], _PROPERTY),
        _number(Term.WEIGHT, found["weight"], _PROPERTY),
    )


def _candidate(judged: Record) -> ContentItem:
    return _container(
        Term.CANDIDATE,
        [
            _text(Term.MODEL, judged["model"]),
            *_optional(Term.OBJECT, judged["uid"]),
            *_optional(Term.WHERE, judged["where"]),
            _yes_or_no(Term.FITS, judged["fits"]),
            *_inputs(judged["inputs"]),
            *(_requirement(each) for each in judged["requirements"]),
            *(_point(each) for each in judged["ranking"]),
        ],
    )


def _requirement(outcome: Record) -> ContentItem:
    term = Term.FAILS if not outcome["passed"] else Term.UNCHECKED if outcome["open"] else Term.HOLDS
    return _with(_text(term, outcome["sentence"]), _text(Term.CRITERION, outcome["criterion"], _MODIFIES))


def _point(point: Record) -> ContentItem:
    return _with(
        _number(Term.RANKING, point["value"]),
        _text(Term.CRITERION, point["criterion"], _MODIFIES),
        _text(Term.REASON, point["sentence"], _PROPERTY),
    )


def _inputs(inputs: Mapping[str, str]) -> list[ContentItem]:
    return [_with(_text(Term.INPUT, uid), _text(Term.NAME, name, _MODIFIES)) for name, uid in inputs.items() if uid]


def _container(term: Term, items: Sequence[ContentItem]) -> ContentItem:
    made = sr.ContainerContentItem(concept(term.code), is_content_continuous=False, relationship_type=_CONTAINS)
    made.ContentSequence = ContentSequence(items)
    return made


def _with(item: ContentItem, *further: ContentItem) -> ContentItem:
    item.ContentSequence = ContentSequence(further)
    return item


def _text(term: Term, text: str, relation: RelationshipTypeValues = _CONTAINS) -> ContentItem:
    return sr.TextContentItem(concept(term.code), text, relation)


def _texts(term: Term, texts: Sequence[str]) -> list[ContentItem]:
    return [_text(term, text) for text in texts if text]


def _optional(term: Term, text: str | None) -> list[ContentItem]:
    return _texts(term, [text or ""])


def _number(term: Term, value: float, relation: RelationshipTypeValues = _CONTAINS) -> ContentItem:
    return sr.NumContentItem(concept(term.code), value, codes.UCUM.NoUnits, relationship_type=relation)


def _yes_or_no(term: Term, value: bool) -> ContentItem:
    return sr.CodeContentItem(concept(term.code), codes.SCT.Yes if value else codes.SCT.No, _CONTAINS)
