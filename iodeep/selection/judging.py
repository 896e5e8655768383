"""One candidate judged: its standing first, then which of the series at hand each of its inputs could be given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import NamedTuple

from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.criteria import need_outcomes, series_outcomes
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.profile import InputNeed, Need
from iodeep.selection.ranking import is_about, need_points, newest_releases, release_points
from iodeep.selection.rules import SiteRules
from iodeep.selection.verdict import Judged, Outcome, Point
from iodeep.selection.view import SeriesView


@dataclass(frozen=True)
class Case:
    """Everything that a decision is about."""

    asked: tuple[SeriesView, ...]
    study: tuple[SeriesView, ...]
    wanted_model: str | None
    condition: str | None
    rules: SiteRules
    candidates: Sequence[Candidate | UnusableModel]

    @cached_property
    def everything(self) -> tuple[SeriesView, ...]:
        """The series asked about, then the others of the study."""
        return (*self.asked, *self.study)

    @cached_property
    def newest(self) -> Mapping[str, int]:
        """The highest version number of each model, by its token."""
        return newest_releases(candidate for candidate in self.candidates if isinstance(candidate, Candidate))

    @cached_property
    def asked_facts(self) -> tuple[SeriesFacts, ...]:
        """The facts of the series asked about."""
        return tuple(series.facts for series in self.asked)


_NO_INPUTS: Mapping[str, str] = MappingProxyType({})


class _Trial(NamedTuple):
    """One input tried with one series."""

    series: SeriesView
    outcomes: tuple[Outcome, ...]
    failures: int
    """Requirements that don't hold."""

    @property
    def fits(self) -> bool:
        return not self.failures

    @property
    def uid(self) -> str:
        return self.series.facts.series_instance_uid


class _Answer(NamedTuple):
    """What the series at hand answer to a need: the same for every model that has it."""

    outcomes: tuple[Outcome, ...]
    points: tuple[Point, ...] = ()
    inputs: Mapping[str, str] = _NO_INPUTS
    """The series of each input, where each has one."""
    also_fitting: tuple[str, ...] = ()


class Judge:
    """Judges the candidates of one case; a need that several models share is looked at once."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._answers: dict[Need, _Answer] = {}

    def judge(self, candidate: Candidate | UnusableModel) -> Judged:
        """Every requirement's outcome for a candidate, and its points where it fits; one that doesn't is not ranked."""
        if isinstance(candidate, UnusableModel):
            return Judged(candidate, (Outcome("usable", passed=False, sentence=candidate.reason),))
        case, model = self._case, candidate.profile
        answer = self._answers.get(model.need)
        if answer is None:
            answer = self._answers[model.need] = _answered(model.need, case)
        standing = tuple(_standing(candidate, case))
        outcomes = (*standing, *answer.outcomes) if standing else answer.outcomes
        points: tuple[Point, ...] = ()
        if answer.points and all(outcome.passed for outcome in standing):
            points = answer.points + release_points(model, candidate.uid, case.newest, case.rules, case.asked_facts)
        return Judged(candidate, outcomes, points, answer.inputs, answer.also_fitting)


def _standing(candidate: Candidate, case: Case) -> Iterator[Outcome]:
    if case.wanted_model:
        named = case.wanted_model.casefold() in _names(candidate)
        yield Outcome("model asked for", named, f"The model asked for is {case.wanted_model}.")
    if case.condition:
        about = is_about(candidate.profile.need, case.condition)
        said = "is" if about else "is not"
        yield Outcome("disease", about, f"The model {said} about {case.condition}.")
    if candidate.retired:
        yield Outcome("in use", passed=False, sentence=f"The model is retired: {candidate.retired}.")
    if candidate.distrusted:
        yield Outcome("trust", passed=False, sentence=f"The site does not trust it: {candidate.distrusted}.")
    if candidate.unapproved:
        yield Outcome("approval", passed=False, sentence=f"It may not run at this site: {candidate.unapproved}.")
    yield from case.rules.outcomes(candidate.profile, candidate.uid, case.asked_facts)


def _names(candidate: Candidate) -> set[str]:
    model = candidate.profile
    names = [candidate.uid, candidate.name, model.name, model.token, f"{model.token}-{model.version}"]
    if candidate.study_instance_uid:
        names.append(candidate.study_instance_uid)
    if candidate.identity:
        names.append(candidate.identity.device_uid)
    return {name.casefold() for name in names}


def _answered(need: Need, case: Case) -> _Answer:
    return _single(need, case) if len(need.inputs) == 1 else _several(need, case)


def _single(need: Need, case: Case) -> _Answer:
    wanted = need.inputs[0]
    trials = _trials(wanted, [(series, need_outcomes(need, series, case.rules)) for series in case.asked])
    if not trials:
        return _Answer((Outcome("series", passed=False, sentence="There is no series."),))
    best = trials[0]
    if not best.fits:
        return _Answer(best.outcomes)
    others = tuple(trial.series.facts.label for trial in trials[1:] if trial.fits)
    points = need_points(need, best.series.answer, case.condition)
    return _Answer(best.outcomes, points, {wanted.name: best.uid}, others)


def _several(need: Need, case: Case) -> _Answer:
    among = [(series, need_outcomes(need, series, case.rules)) for series in case.everything]
    tried = {wanted.name: _trials(wanted, among) for wanted in need.inputs}
    chosen = _assign(need.inputs, tried, case)
    outcomes = tuple([_input_outcome(wanted, tried[wanted.name], chosen) for wanted in need.inputs])
    open_outcomes = tuple(outcome for trial in chosen.values() for outcome in trial.outcomes if outcome.open)
    if len(chosen) < len(need.inputs):
        return _Answer((*outcomes, *open_outcomes))
    inputs = {name: trial.uid for name, trial in chosen.items()}
    points = need_points(need, chosen[need.inputs[0].name].series.answer, case.condition)
    return _Answer((*outcomes, *open_outcomes), points, inputs)


def _trials(wanted: InputNeed, among: Sequence[tuple[SeriesView, tuple[Outcome, ...]]]) -> list[_Trial]:
    """The input tried with each series: those that fit first, then the nearest misses; more slices first among equals."""
    trials = []
    for series, of_need in among:
        outcomes = series_outcomes(wanted, series, of_need)
        trials.append(_Trial(series, outcomes, [outcome.passed for outcome in outcomes].count(False)))
    if len(trials) > 1:
        trials.sort(key=lambda trial: (trial.failures, -_slices(trial.series.facts), trial.uid))
    return trials


def _slices(facts: SeriesFacts) -> int:
    return facts.slice_count or facts.instance_count or 0


def _assign(inputs: Sequence[InputNeed], tried: Mapping[str, list[_Trial]], case: Case) -> dict[str, _Trial]:
    """A series for as many inputs as possible, none twice; a series that was asked about before others."""
    chosen: dict[str, _Trial] = {}
    if not any(trials and trials[0].fits for trials in tried.values()):
        return chosen
    asked = {facts.series_instance_uid for facts in case.asked_facts}
    for wanted in inputs:
        _augment(wanted.name, tried, chosen, set(), asked)
    return chosen


def _augment(
    name: str, tried: Mapping[str, list[_Trial]], chosen: dict[str, _Trial], seen: set[str], asked: set[str]
) -> bool:
    """Give ``name`` a series, moving other inputs to their next choice where needed (Kuhn's matching)."""
    fitting = [trial for trial in tried[name] if trial.fits]
    for trial in sorted(fitting, key=lambda trial: trial.uid not in asked):
        uid = trial.uid
        if uid in seen:
            continue
        seen.add(uid)
        holder = next((other for other, held in chosen.items() if held.uid == uid), None)
        if holder is None or _augment(holder, tried, chosen, seen, asked):
            chosen[name] = trial
            return True
    return False


def _input_outcome(wanted: InputNeed, trials: list[_Trial], chosen: Mapping[str, _Trial]) -> Outcome:
    criterion = f"input {wanted.name}"
    if wanted.name in chosen:
        return Outcome(
            criterion, passed=True, sentence=f"Input {wanted.name}: {chosen[wanted.name].series.facts.label} fits."
        )
    need = f"Input {wanted.name} needs {_need(wanted)}"
    if trials and trials[0].fits:
        return Outcome(criterion, passed=False, sentence=f"{need}; the only such series serves another input.")
    if not trials:
        return Outcome(criterion, passed=False, sentence=f"{need}; the study has no series.")
    nearest = trials[0]
    why = next(outcome.sentence for outcome in nearest.outcomes if not outcome.passed)
    return Outcome(
        criterion,
        passed=False,
        sentence=f"{need}; none of the study's {len(trials)} series is one. Nearest: {nearest.series.facts.label}: {why}",
    )


@lru_cache(maxsize=1024)
def _need(wanted: InputNeed) -> str:
    sequences = " or ".join(wanted.sequences) if "ANY" not in wanted.sequences else ""
    phases = " or ".join(wanted.phases) if "ANY" not in wanted.phases else ""
    return " ".join(filter(None, (wanted.modality, sequences, phases.lower())))
