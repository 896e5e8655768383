"""From everything that a series says to the part of the body that it shows."""

from __future__ import annotations

from collections.abc import Sequence

from iodeep.anatomy.answer import AnatomyAnswer
from iodeep.anatomy.evidence import AnatomicEvidence


class AnatomyResolver:
    """Resolves evidence by a vocabulary; make one and keep it: reading the vocabulary takes a moment."""

    def resolve(self, evidence: AnatomicEvidence, siblings: Sequence[AnatomicEvidence] = ()) -> AnatomyAnswer:
        """The regions that ``evidence`` speaks for; ``siblings`` are asked where it says nothing."""
        raise NotImplementedError
