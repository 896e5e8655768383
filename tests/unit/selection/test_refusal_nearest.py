"""The nearest model of a refusal is the one that is for these images, if any is."""

from __future__ import annotations

from pathlib import Path

import pytest

from iodeep.selection import candidates_in_folder, decide, facts_of_attributes

CARDS = Path(__file__).resolve().parents[3] / "sample_data"


@pytest.mark.parametrize(
    ("attributes", "nearest"),
    [
        ({"Modality": "MR", "StudyDescription": "MR prostaat", "SeriesDescription": "t1 vibe"}, "Prostate in MR"),
        ({"Modality": "MR", "StudyDescription": "MRI KNEE", "SeriesDescription": "SAG T1"}, "Knee cartilage in MR"),
        ({"Modality": "CT", "StudyDescription": "CT LIVER", "SeriesDescription": "native"}, "Liver in CT"),
    ],
)
def test_a_model_that_lacks_a_sequence_is_nearer_than_one_for_elsewhere(
    attributes: dict[str, str], nearest: str
) -> None:
    decision = decide(facts_of_attributes(attributes), candidates_in_folder(CARDS))

    assert decision.chosen is None
    assert f"Nearest is {nearest}" in decision.refusal
