"""One series as a decision looks at it: its facts, what it shows, and what follows from them, each worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from iodeep.anatomy import AnatomyAnswer
from iodeep.selection.acquisition import Phase, SequenceType, phase_of, sequence_of
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.kinds import SeriesNature, nature_of


@dataclass(frozen=True, eq=False)
class SeriesView:
    """Facts and anatomy of a series, and the conclusions from them; those that few models ask about when they are."""

    facts: SeriesFacts
    answer: AnatomyAnswer
    nature: SeriesNature
    """Acquired images, a localizer, derived ..."""
    shown: str
    """The first region and the organ in it, for sentences; empty where nothing is known."""
    unmeasured: bool
    """Whether nothing is known of its geometry, as before its images are read."""

    @cached_property
    def sequence(self) -> SequenceType:
        """The MR sequence type."""
        return sequence_of(self.facts)

    @cached_property
    def phase(self) -> Phase:
        """The CT contrast phase."""
        return phase_of(self.facts)


def view_of(facts: SeriesFacts, answer: AnatomyAnswer) -> SeriesView:
    """A series with what is always asked about it."""
    first, organ = answer.shown or "", answer.organ
    measures = (facts.slice_count, facts.slice_spacing_mm, facts.pixel_spacing_mm, facts.coverage_mm, facts.plane)
    return SeriesView(
        facts=facts,
        answer=answer,
        nature=nature_of(facts),
        shown=f"{first} ({organ})" if organ and organ != first else first,
        unmeasured=not facts.geometry_problem and measures == _NOTHING,
    )


_NOTHING = (None,) * 5
