"""One candidate judged: its standing first, then which of the series at hand each of its inputs could be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iodeep.anatomy import AnatomyAnswer
from iodeep.card import ModelCard, NetworkInput
from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.criteria import series_outcomes
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.ranking import is_about, points_of
from iodeep.selection.rules import SiteRules
from iodeep.selection.verdict import Judged, Outcome, Point


@dataclass(frozen=True)
class Case:
    """Everything that a decision is about, but for the candidates."""

    asked: tuple[SeriesFacts, ...]
    answers: Mapping[SeriesFacts, AnatomyAnswer]
    study: tuple[SeriesFacts, ...]
    wanted_model: str | None
    condition: str | None
    rules: SiteRules
    newest: Mapping[str, int]

    @property
    def everything(self) -> tuple[SeriesFacts, ...]:
        """The series asked about, then the others of the study."""
        return (*self.asked, *self.study)


@dataclass(frozen=True)
class _Trial:
    """One input tried with one series."""

    facts: SeriesFacts
    outcomes: tuple[Outcome, ...]

    @property
    def fits(self) -> bool:
        return all(outcome.passed for outcome in self.outcomes)

    @property
    def failures(self) -> int:
        return sum(not outcome.passed for outcome in self.outcomes)


def judge(candidate: Candidate | UnusableModel, case: Case) -> Judged:
    """Every requirement's outcome for a candidate, and its points where it fits."""
    if isinstance(candidate, UnusableModel):
        return Judged(candidate, (Outcome("usable", passed=False, sentence=candidate.reason),))
    standing = _standing(candidate, case)
    if len(candidate.card.inputs) == 1:
        return _single(candidate, standing, case)
    return _several(candidate, standing, case)


def _standing(candidate: Candidate, case: Case) -> tuple[Outcome, ...]:
    outcomes = []
    if case.wanted_model:
        named = case.wanted_model.casefold() in _names(candidate)
        outcomes.append(Outcome("model asked for", named, f"The model asked for is {case.wanted_model}."))
    if case.condition:
        about = is_about(candidate.card, case.condition)
        said = "is" if about else "is not"
        outcomes.append(Outcome("disease", about, f"The model {said} about {case.condition}."))
    if candidate.retired:
        outcomes.append(Outcome("in use", passed=False, sentence=f"The model is retired: {candidate.retired}."))
    if candidate.distrusted:
        outcomes.append(Outcome("trust", passed=False, sentence=f"The site does not trust it: {candidate.distrusted}."))
    return (*outcomes, *case.rules.outcomes(candidate.card, candidate.uid, case.asked))


def _names(candidate: Candidate) -> set[str]:
    card = candidate.card
    names = [candidate.uid, candidate.name, card.name, card.token, f"{card.token}-{card.version}"]
    if candidate.study_instance_uid:
        names.append(candidate.study_instance_uid)
    if candidate.identity:
        names.append(candidate.identity.device_uid)
    return {name.casefold() for name in names}


def _single(candidate: Candidate, standing: tuple[Outcome, ...], case: Case) -> Judged:
    wanted = candidate.card.inputs[0]
    trials = _trials(candidate.card, wanted, case.asked, case)
    if not trials:
        return Judged(candidate, (*standing, Outcome("series", passed=False, sentence="There is no series.")))
    best = trials[0]
    inputs = {wanted.name: best.facts.series_instance_uid} if best.fits else {}
    outcomes = (*standing, *best.outcomes)
    points = _points(candidate, outcomes, case.answers[best.facts], case)
    others = tuple(trial.facts.label for trial in trials[1:] if trial.fits)
    return Judged(candidate, outcomes, points, inputs, others)


def _several(candidate: Candidate, standing: tuple[Outcome, ...], case: Case) -> Judged:
    tried = {wanted.name: _trials(candidate.card, wanted, case.everything, case) for wanted in candidate.card.inputs}
    chosen = _assign(candidate.card.inputs, tried, case)
    outcomes = tuple(_input_outcome(wanted, tried[wanted.name], chosen) for wanted in candidate.card.inputs)
    inputs = {name: trial.facts.series_instance_uid for name, trial in chosen.items()}
    used = chosen.get(candidate.card.inputs[0].name)
    answer = case.answers[used.facts] if used else AnatomyAnswer()
    open_outcomes = tuple(outcome for trial in chosen.values() for outcome in trial.outcomes if outcome.open)
    complete = len(chosen) == len(candidate.card.inputs)
    everything = (*standing, *outcomes, *open_outcomes)
    return Judged(candidate, everything, _points(candidate, everything, answer, case), inputs if complete else {})


def _points(
    candidate: Candidate, outcomes: tuple[Outcome, ...], answer: AnatomyAnswer, case: Case
) -> tuple[Point, ...]:
    """The ranking's points, for a candidate that fits; one that doesn't is not ranked."""
    if not all(outcome.passed for outcome in outcomes):
        return ()
    return points_of(candidate, answer, case.condition, case.newest, case.rules, case.asked)


def _trials(card: ModelCard, wanted: NetworkInput, series: Sequence[SeriesFacts], case: Case) -> list[_Trial]:
    """The input tried with each series: those that fit first, then the nearest misses; more slices first among equals."""
    trials = [_Trial(facts, series_outcomes(card, wanted, facts, case.answers[facts], case.rules)) for facts in series]
    return sorted(trials, key=lambda trial: (trial.failures, -(_slices(trial.facts)), trial.facts.series_instance_uid))


def _slices(facts: SeriesFacts) -> int:
    return facts.slice_count or facts.instance_count or 0


def _assign(inputs: Sequence[NetworkInput], tried: Mapping[str, list[_Trial]], case: Case) -> dict[str, _Trial]:
    """A series for as many inputs as possible, none twice; a series that was asked about before others."""
    chosen: dict[str, _Trial] = {}
    for wanted in inputs:
        _augment(wanted.name, tried, chosen, set(), {facts.series_instance_uid for facts in case.asked})
    return chosen


def _augment(
    name: str, tried: Mapping[str, list[_Trial]], chosen: dict[str, _Trial], seen: set[str], asked: set[str]
) -> bool:
    """Give ``name`` a series, moving other inputs to their next choice where needed (Kuhn's matching)."""
    fitting = [trial for trial in tried[name] if trial.fits]
    for trial in sorted(fitting, key=lambda trial: trial.facts.series_instance_uid not in asked):
        uid = trial.facts.series_instance_uid
        if uid in seen:
            continue
        seen.add(uid)
        holder = next((other for other, held in chosen.items() if held.facts.series_instance_uid == uid), None)
        if holder is None or _augment(holder, tried, chosen, seen, asked):
            chosen[name] = trial
            return True
    return False


def _input_outcome(wanted: NetworkInput, trials: list[_Trial], chosen: Mapping[str, _Trial]) -> Outcome:
    criterion = f"input {wanted.name}"
    if wanted.name in chosen:
        return Outcome(criterion, passed=True, sentence=f"Input {wanted.name}: {chosen[wanted.name].facts.label} fits.")
    need = f"Input {wanted.name} needs {_need(wanted)}"
    fitting = [trial for trial in trials if trial.fits]
    if fitting:
        return Outcome(criterion, passed=False, sentence=f"{need}; the only such series serves another input.")
    if not trials:
        return Outcome(criterion, passed=False, sentence=f"{need}; the study has no series.")
    nearest = trials[0]
    why = next(outcome.sentence for outcome in nearest.outcomes if not outcome.passed)
    return Outcome(
        criterion,
        passed=False,
        sentence=f"{need}; none of the study's {len(trials)} series is one. Nearest: {nearest.facts.label}: {why}",
    )


def _need(wanted: NetworkInput) -> str:
    sequences = " or ".join(wanted.sequences) if "ANY" not in wanted.sequences else ""
    phases = " or ".join(wanted.phases) if "ANY" not in wanted.phases else ""
    return " ".join(filter(None, (wanted.modality, sequences, phases.lower())))
