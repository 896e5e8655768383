"""From everything that a series says to the part of the body that it shows.

Each zone gathers what speaks for it and what speaks against it; a zone is held where the first outweighs the second.
An attribute that names other zones speaks against this one: fully where it is the series' own description, hardly where
it only names fewer of the same zones. Contradictions lower confidence and are told; nothing is guessed from silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from iodeep.anatomy.answer import AnatomyAnswer, Side
from iodeep.anatomy.evidence import AnatomicEvidence
from iodeep.anatomy.laterality import side_of
from iodeep.anatomy.lexicon import Lexicon
from iodeep.anatomy.ranking import FIRM, ranked_regions
from iodeep.anatomy.reading import ITS_OWN_WORDS, OF_THE_STUDY, Reading, borrowed, organs_named, readings_of
from iodeep.anatomy.regions import is_inner_zone, limb_of, name_of, zones_of
from iodeep.anatomy.vocabulary import Vocabulary, built_in_vocabulary
from iodeep.anatomy.weighing import contradictions, settled, weigh


class AnatomyResolver:
    """Resolves evidence by a vocabulary; make one and keep it: reading the vocabulary takes a moment."""

    def __init__(self, vocabulary: Vocabulary | None = None) -> None:
        self._lexicon = Lexicon(vocabulary or built_in_vocabulary())
        self._alone = lru_cache(maxsize=65_536)(self._resolve_alone)

    def resolve(self, evidence: AnatomicEvidence, siblings: Sequence[AnatomicEvidence] = ()) -> AnatomyAnswer:
        """The regions that ``evidence`` speaks for; ``siblings`` (the study's other series) where it says nothing."""
        answer = self._alone(evidence)
        return answer if answer.known or not siblings else self._of_siblings(siblings)

    def _resolve_alone(self, evidence: AnatomicEvidence) -> AnatomyAnswer:
        return _answer(readings_of(evidence, self._lexicon), side_of(evidence))

    def _of_siblings(self, siblings: Sequence[AnatomicEvidence]) -> AnatomyAnswer:
        """Series that say the same count once; the answer is never surer than FIRM."""
        readings = [
            reading
            for sibling in sorted(set(siblings), key=repr)
            for reading in borrowed(readings_of(sibling, self._lexicon))
        ]
        answer = _answer(readings, None)
        ranked = tuple(replace(entry, confidence=min(entry.confidence, FIRM)) for entry in answer.ranked)
        return replace(answer, ranked=ranked, borrowed=answer.known)


def _answer(readings: Sequence[Reading], side: Side | None) -> AnatomyAnswer:
    speaking = settled(readings)
    ranked = ranked_regions(weigh(speaking), speaking)
    if not ranked:
        return AnatomyAnswer()
    zones = zones_of(ranked[0].region)
    organs = [organ for organ, _ in organs_named(speaking) if zones_of(organ) <= zones]
    organ = organs[0] if organs else ranked[0].region if is_inner_zone(ranked[0].region) else None
    return AnatomyAnswer(ranked, _examination(ranked[0].region, speaking), organ, side, contradictions(speaking))


def _examination(shown: str, readings: Sequence[Reading]) -> str | None:
    """The one region that the study and the series name together, where the series alone names only a part of it.

    Body Part Examined doesn't widen it: many scanners fill it in by themselves.
    """
    part = zones_of(shown)
    if not any(reading.attribute in ITS_OWN_WORDS and part <= reading.zones for reading in readings):
        return None
    booked = frozenset().union(*(reading.zones for reading in readings if reading.attribute in OF_THE_STUDY))
    left_out = frozenset().union(*(reading.excluded for reading in readings))
    together = (booked | part) - left_out
    return (name_of(together) or name_of(map(limb_of, together))) if together > part else None
