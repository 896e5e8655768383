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
    """Facts and anatomy of a series, and the conclusions from them when they are asked for."""

    facts: SeriesFacts
    answer: AnatomyAnswer

    @cached_property
    def nature(self) -> SeriesNature:
        """Acquired images, a localizer, derived ..."""
        return nature_of(self.facts)

    @cached_property
    def sequence(self) -> SequenceType:
        """The MR sequence type."""
        return sequence_of(self.facts)

    @cached_property
    def phase(self) -> Phase:
        """The CT contrast phase."""
        return phase_of(self.facts)

    @cached_property
    def shown(self) -> str:
        """The first region and the organ in it, for sentences; only where the answer is known."""
        first, organ = self.answer.ranked[0].region, self.answer.organ
        return f"{first} ({organ})" if organ and organ != first else first

    @cached_property
    def unmeasured(self) -> bool:
        """Whether nothing is known of its geometry, as before its images are read."""
        facts = self.facts
        measured = (facts.slice_count, facts.slice_spacing_mm, facts.pixel_spacing_mm, facts.coverage_mm, facts.plane)
        return not facts.geometry_problem and all(found is None for found in measured)
