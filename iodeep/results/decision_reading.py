"""Why a model was chosen, read out of a report of ours: the same record that was written into it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from iodeep.results.decision_terms import SCHEME, Term

Record = dict[str, Any]


def decision_of_report(report: Dataset) -> Record | None:
    """The record of a report, None where it has none (PS3.3 C.17.3.2)."""
    choice = next(_items(report, Term.CHOICE), None)
    if choice is None:
        return None
    return {
        "series": _texts(choice, Term.SERIES),
        "anatomy": next((_anatomy(item) for item in _items(choice, Term.ANATOMY)), None),
        "chosen": _text(choice, Term.CHOSEN),
        "chosen_uid": _text(choice, Term.OBJECT),
        "inputs": _inputs(choice),
        "refusal": _text(choice, Term.REFUSAL),
        "refused_for": _text(choice, Term.CAUSE),
        "open_questions": _texts(choice, Term.OPEN),
        "notes": _texts(choice, Term.NOTE),
        "candidates": [_candidate(item) for item in _items(choice, Term.CANDIDATE)],
        "rules": _texts(choice, Term.RULE),
        "looked_at": int(_number(choice, Term.LOOKED_AT)),
        "not_listed": {
            _text(item, Term.CRITERION) or "": int(_value(item)) for item in _items(choice, Term.NOT_LISTED)
        },
    }


def _anatomy(shown: Dataset) -> Record:
    return {
        "regions": _texts(shown, Term.REGION),
        "shown": _text(shown, Term.SHOWN),
        "organ": _text(shown, Term.ORGAN),
        "side": _text(shown, Term.SIDE),
        "confidence": _number(shown, Term.CONFIDENCE),
        "borrowed": _is_yes(shown, Term.BORROWED),
        "contradictions": _texts(shown, Term.CONTRADICTION),
        "evidence": [_evidence(item) for item in _items(shown, Term.EVIDENCE)],
    }


def _evidence(item: Dataset) -> Record:
    return {
        "attribute": _text(item, Term.ATTRIBUTE),
        "words": str(item.TextValue),
        "region": _text(item, Term.REGION),
        "weight": _number(item, Term.WEIGHT),
    }


def _candidate(item: Dataset) -> Record:
    return {
        "model": _text(item, Term.MODEL) or "",
        "uid": _text(item, Term.OBJECT) or "",
        "where": _text(item, Term.WHERE) or "",
        "fits": _is_yes(item, Term.FITS),
        "inputs": _inputs(item),
        "requirements": [
            {
                "criterion": _text(each, Term.CRITERION) or "",
                "passed": term is not Term.FAILS,
                "open": term is Term.UNCHECKED,
                "sentence": str(each.TextValue),
            }
            for each in item.get("ContentSequence") or []
            if (term := _term(each)) in {Term.HOLDS, Term.FAILS, Term.UNCHECKED}
        ],
        "ranking": [
            {
                "criterion": _text(each, Term.CRITERION) or "",
                "value": _value(each),
                "sentence": _text(each, Term.REASON) or "",
            }
            for each in _items(item, Term.RANKING)
        ],
    }


def _inputs(item: Dataset) -> dict[str, str]:
    return {_text(each, Term.NAME) or "": str(each.TextValue) for each in _items(item, Term.INPUT)}


def _items(parent: Dataset, term: Term) -> Iterator[Dataset]:
    """The content items right below ``parent`` that are called so."""
    return (item for item in parent.get("ContentSequence") or [] if _term(item) is term)


def _term(item: Dataset) -> Term | None:
    for name in item.get("ConceptNameCodeSequence") or []:
        if name.get("CodingSchemeDesignator") == SCHEME and name.get("CodeValue") in Term.__members__:
            return Term[name.CodeValue]
    return None


def _texts(parent: Dataset, term: Term) -> list[str]:
    return [str(item.TextValue) for item in _items(parent, term)]


def _text(parent: Dataset, term: Term) -> str | None:
    return next(iter(_texts(parent, term)), None)


def _number(parent: Dataset, term: Term) -> float:
    return next((_value(item) for item in _items(parent, term)), 0.0)


def _value(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


def _is_yes(parent: Dataset, term: Term) -> bool:
    yes = str(codes.SCT.Yes.value)
    return any(item.ConceptCodeSequence[0].CodeValue == yes for item in _items(parent, term))
