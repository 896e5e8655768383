"""Left or right, as far as a series says it: Laterality (0020,0060) first, words in seven languages second."""

from __future__ import annotations

from iodeep.anatomy.answer import Side
from iodeep.anatomy.evidence import AnatomicEvidence
from iodeep.anatomy.text import tokens_of

_WORDS = {
    Side.LEFT: "LEFT LT LINKS LINKE LINKER LINKES LI GAUCHE IZQUIERDA IZQUIERDO IZQ IZDA SINISTRA SINISTRO SX SIN "
    "ESQUERDA ESQUERDO ESQ LEWA LEWY LEWEGO",
    Side.RIGHT: "RIGHT RT RECHTS RECHTE RECHTER RECHTES RE DROITE DROIT DERECHA DERECHO DCHA DCHO DER DESTRA DESTRO DX "
    "DIREITA DIREITO DIR PRAWA PRAWY PRAWEGO",
    Side.BOTH: "BOTH BILAT BILATERAL BIL BEIDSEITS BDS BEIDE BILATERAUX BILATERALE BILATERALI BEIDERSEITS BEIDERZIJDS "
    "AMBOS AMBAS",
}
_SIDES = {word: side for side, words in _WORDS.items() for word in words.split()}


def side_of(evidence: AnatomicEvidence) -> Side | None:
    """The side that the series says; None where it says none, or where its descriptions disagree."""
    if evidence.laterality.upper() in {"L", "R", "B"}:
        return Side(evidence.laterality.upper())
    for text in (evidence.series_description, evidence.protocol_name, evidence.study_description):
        sides = {_SIDES[token.text] for token in tokens_of(text) if token.text in _SIDES}
        if Side.BOTH in sides or sides >= {Side.LEFT, Side.RIGHT}:
            return Side.BOTH
        if sides:
            return sides.pop()
    return None
