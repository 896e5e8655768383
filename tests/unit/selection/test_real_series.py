"""The sample series among models for other things: the right model, or a refusal that a radiographer understands."""

from __future__ import annotations

from pydicom import dcmread

from iodeep.card import Sequence
from iodeep.selection import SeriesFacts, decide, facts_of_headers
from iodeep.selection.acquisition import sequence_of
from tests.unit.selection.support import IMAGES, MR_HEAD, models


def facts_of(*paths: str) -> SeriesFacts:
    files = [IMAGES / path for path in paths] or sorted(MR_HEAD.glob("*.dcm"))
    return facts_of_headers([dcmread(file, stop_before_pixels=True) for file in files])


def test_the_mr_head_series_gets_the_brain_model() -> None:
    decision = decide(facts_of(), models())

    assert decision.chosen is not None
    assert decision.chosen.card.token == "BRAINMASK"
    assert decision.inputs == {"image": facts_of().series_instance_uid}
    assert decision.anatomy.organ == "BRAIN"


def test_the_mr_head_series_is_proton_density_by_its_times_and_no_reformat() -> None:
    told = sequence_of(facts_of())

    assert told.sequence is Sequence.PD
    assert "TE 22 ms" in told.because


def test_what_only_the_images_can_tell_is_left_open() -> None:
    assert any("12 slices" in question for question in decide(facts_of(), models()).open_questions)


def test_a_radiograph_of_the_shoulder_is_refused_with_the_region() -> None:
    decision = decide(facts_of("monochrome2.dcm"), models())

    assert decision.chosen is None
    assert "SHOULDER" in decision.refusal
    assert "CHEST" in decision.refusal


def test_localizers_are_refused_as_localizers() -> None:
    for name in ("j2k.dcm", "jpeg_lossless_sel1.dcm"):
        decision = decide(facts_of(name), models())
        assert decision.chosen is None
        assert "localizer" in decision.refusal


def test_a_series_that_says_nothing_is_refused_with_what_to_fill_in() -> None:
    decision = decide(facts_of("jpeg_2000.dcm"), models())

    assert decision.chosen is None
    assert "Body Part Examined" in decision.refusal
