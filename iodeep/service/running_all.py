"""All models that fit, where the site wants that: each run is its own, with results under UIDs of its own.

A model that fails takes nothing from the others: what it failed with is told beside their reports. One cancellation ends all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from iodeep.errors import CancelledError, ExitCode, IODeepError
from iodeep.inference import Engine
from iodeep.ports import Cancellation, ProgressSink, no_progress
from iodeep.selection import Decision, each_that_fits
from iodeep.service.choosing import Job, choice_of, selected
from iodeep.service.running import RunReport, run_choice
from iodeep.service.selecting import Selection
from iodeep.service.timing import Stopwatch


@dataclass(frozen=True)
class FailedRun:
    """A model that fits and could not be run, or whose results could not be stored, and why."""

    model: str
    uid: str
    error: IODeepError

    def as_document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"model": self.model, "uid": self.uid, **self.error.as_dict()}


@dataclass(frozen=True)
class RunsReport:
    """What came of each model that fits, in the order of their ranks."""

    done: tuple[RunReport, ...]
    failed: tuple[FailedRun, ...]
    left_out: tuple[str, ...]
    """Models that fit as well and were not run, because the site runs no more than so many."""

    @property
    def exit_code(self) -> ExitCode:
        """0 where every model that was run is done, else that of the first that failed."""
        return self.failed[0].error.exit_code if self.failed else ExitCode.OK

    def as_document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "results": [report.as_document() for report in self.done],
            "failed": [failed.as_document() for failed in self.failed],
            "left_out": list(self.left_out),
        }


def run_all_that_fit(
    job: Job,
    engine: Engine,
    workspace: Path,
    most_models: int,
    *,
    watch: Stopwatch | None = None,
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> RunsReport:
    """Run each model that fits, the first-ranking ones where there are more than ``most_models``.

    ``watch``: what was spent before; each report begins with it. Errors: ``Refusal`` where none fits; whatever keeps the series or the archive's models from being looked at.
    """
    watch = watch or Stopwatch()
    with watch.stage("select"):
        selection = selected(job, progress)
    decisions = each_that_fits(selection.decision)
    ended = tuple(_each(job, selection, decisions[:most_models], engine, workspace, watch.seconds, progress, cancel))
    return RunsReport(
        done=tuple(each for each in ended if isinstance(each, RunReport)),
        failed=tuple(each for each in ended if isinstance(each, FailedRun)),
        left_out=tuple(each.chosen.name for each in decisions[most_models:] if each.chosen),
    )


def _each(
    job: Job,
    selection: Selection,
    decisions: tuple[Decision, ...],
    engine: Engine,
    workspace: Path,
    before: Mapping[str, float],
    progress: ProgressSink,
    cancel: Cancellation | None,
) -> Iterator[RunReport | FailedRun]:
    for decision in decisions:
        assert decision.chosen is not None
        card = decision.chosen.card
        folder = f"{card.token}-{card.version}"
        own, watch = workspace / "models" / folder, Stopwatch(before)
        own.mkdir(parents=True, exist_ok=True)
        one = replace(job, out=job.out / folder if job.out else None)
        try:
            with watch.stage("select"):
                choice = choice_of(one, selection, decision, own)
            yield run_choice(one, choice, engine, own, watch=watch, progress=progress, cancel=cancel)
        except CancelledError:
            raise
        except IODeepError as error:
            yield FailedRun(decision.chosen.name, decision.chosen.uid, error)
