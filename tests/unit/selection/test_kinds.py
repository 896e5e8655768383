"""What a series is, from its parameters first and its words second."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from iodeep.card import ContrastPhase, Sequence
from iodeep.selection import facts_of_headers
from iodeep.selection.acquisition import phase_of, sequence_of
from iodeep.selection.kinds import Nature, nature_of
from tests.unit.selection.support import mr, series


@pytest.mark.parametrize(
    ("modality", "description", "nature"),
    [
        ("CT", "Topogram  1.0  T20s", Nature.LOCALIZER),
        ("CT", "SCOUT", Nature.LOCALIZER),
        ("MR", "3 plane loc", Nature.LOCALIZER),
        ("MR", "AAHead_Scout", Nature.LOCALIZER),
        ("CT", "Übersicht", Nature.LOCALIZER),
        ("MR", "localizzatore", Nature.LOCALIZER),
        ("MR", "ASSET calibration", Nature.LOCALIZER),
        ("CT", "SmartPrep Series", Nature.LOCALIZER),
        ("CT", "Monitoring  10.0  B30s", Nature.LOCALIZER),
        ("CT", "Patient Protocol", Nature.REPORT),
        ("CT", "Dose Report", Nature.REPORT),
        ("MR", "Screen Save", Nature.CAPTURE),
        ("CT", "COR MIP", Nature.DERIVED),
        ("MR", "ep2d_diff_b50_800_ADC", Nature.DERIVED),
        ("MR", "Apparent Diffusion Coefficient (mm2/s)", Nature.DERIVED),
        ("MR", "dyn t1 SUB", Nature.DERIVED),
        ("CT", "Coronal reformat", Nature.DERIVED),
        ("CT", "ThorRoutine  2.0  B70f", Nature.ACQUIRED),
        ("MR", "t2_tse_tra", Nature.ACQUIRED),
        ("MR", "t1_mpr_tra_gk_v4", Nature.ACQUIRED),
        ("MR", "<MPR Range[1]>", Nature.DERIVED),
        ("CT", "", Nature.ACQUIRED),
    ],
)
def test_words_tell_localizers_derived_images_and_reports(modality: str, description: str, nature: Nature) -> None:
    assert nature_of(series(Modality=modality, SeriesDescription=description)).nature is nature


@pytest.mark.parametrize(
    ("image_type", "nature"),
    [
        ("ORIGINAL\\PRIMARY\\LOCALIZER", Nature.LOCALIZER),
        ("DERIVED\\SECONDARY\\REFORMATTED", Nature.DERIVED),
        ("ORIGINAL\\PRIMARY\\ADC", Nature.DERIVED),
        ("ORIGINAL\\PRIMARY\\M\\SUB", Nature.DERIVED),
        ("ORIGINAL\\PRIMARY\\MPR", Nature.ACQUIRED),
        ("ORIGINAL\\PRIMARY\\AXIAL", Nature.ACQUIRED),
    ],
)
def test_image_type_tells_first(image_type: str, nature: Nature) -> None:
    assert nature_of(series(Modality="MR", ImageType=image_type)).nature is nature


@pytest.mark.parametrize(
    ("modality", "image_type", "nature"),
    [
        ("CR", "DERIVED\\PRIMARY", Nature.ACQUIRED),
        ("MG", "DERIVED\\PRIMARY\\\\LEFT", Nature.ACQUIRED),
        ("NM", "DERIVED\\PRIMARY\\RECON TOMO\\EMISSION", Nature.ACQUIRED),
        ("DX", "DERIVED\\SECONDARY", Nature.DERIVED),
        ("CT", "DERIVED\\PRIMARY\\AXIAL", Nature.DERIVED),
    ],
)
def test_a_radiograph_processed_for_reading_is_acquired(modality: str, image_type: str, nature: Nature) -> None:
    assert nature_of(series(Modality=modality, ImageType=image_type)).nature is nature


def test_objects_without_images_and_secondary_captures_are_told() -> None:
    assert nature_of(series(Modality="SR")).nature is Nature.NO_IMAGES
    assert nature_of(series(Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")).nature is Nature.CAPTURE


@pytest.mark.parametrize(
    ("parameters", "sequence"),
    [
        ({"echo_times": (12.0,), "repetition_time": 550.0}, Sequence.T1),
        ({"echo_times": (12.0,), "repetition_time": 550.0, "contrast_agent": "Dotarem"}, Sequence.T1C),
        ({"echo_times": (100.0,), "repetition_time": 4000.0}, Sequence.T2),
        ({"echo_times": (22.0,), "repetition_time": 2300.0, "scanning_sequence": ("SE",)}, Sequence.PD),
        ({"echo_times": (22.0,), "repetition_time": 2300.0}, None),
        ({"echo_times": (90.0,), "repetition_time": 9000.0, "inversion_time": 2500.0}, Sequence.FLAIR),
        ({"echo_times": (60.0,), "repetition_time": 3000.0, "inversion_time": 150.0}, None),
        (
            {
                "echo_times": (2.9,),
                "repetition_time": 2000.0,
                "inversion_time": 900.0,
                "scanning_sequence": ("GR", "IR"),
            },
            Sequence.T1,
        ),
        ({"echo_times": (80.0,), "repetition_time": 5000.0, "b_values": (0.0, 1000.0)}, Sequence.DWI),
        ({"echo_times": (25.0,), "repetition_time": 50.0, "scanning_sequence": ("GR",)}, None),
        (
            {"echo_times": (1.9,), "repetition_time": 4.0, "scanning_sequence": ("GR",), "sequence_variant": ("SS",)},
            None,
        ),
    ],
)
def test_times_tell_the_sequence(parameters: dict[str, Any], sequence: Sequence | None) -> None:
    assert sequence_of(mr("1.2", "", **parameters)).sequence is sequence


@pytest.mark.parametrize(
    ("description", "sequence"),
    [
        ("t1 axial stealth-post", Sequence.T1C),
        ("Ax T1 PRE", Sequence.T1),
        ("AX T2 FLAIR", Sequence.FLAIR),
        ("T2 SAG SPACE", Sequence.T2),
        ("PD fs sag", Sequence.PD),
        ("ep2d_diff_MDDW", Sequence.DWI),
        ("ADC", Sequence.ADC),
        ("tfl_dyn_fast_tra", Sequence.DCE),
        ("TOF 3D", None),
        ("SWI", None),
        ("PJN", None),
        ("t1 t2 mapping", None),
    ],
)
def test_words_tell_the_sequence_where_times_are_missing(description: str, sequence: Sequence | None) -> None:
    assert sequence_of(mr("1.2", description)).sequence is sequence


@pytest.mark.parametrize(
    ("attributes", "echo", "repetition", "inversion", "sequence"),
    [
        ({"EchoPulseSequence": "SPIN"}, 100.0, 4000.0, None, Sequence.T2),
        ({"EchoPulseSequence": "SPIN"}, 20.0, 600.0, None, Sequence.T1),
        ({"EchoPulseSequence": "GRADIENT", "SteadyStatePulseSequence": "LONGITUDINAL"}, 2.0, 5.0, None, Sequence.T1),
        ({"EchoPulseSequence": "GRADIENT"}, 20.0, 28.0, None, None),
        ({"EchoPulseSequence": "GRADIENT", "SteadyStatePulseSequence": "FREE_PRECESSION"}, 1.6, 3.6, None, None),
        ({"EchoPulseSequence": "SPIN", "EchoPlanarPulseSequence": "YES"}, 80.0, 8000.0, None, None),
        ({"EchoPulseSequence": "SPIN", "InversionRecovery": "YES"}, 120.0, 9000.0, 2500.0, Sequence.FLAIR),
        ({"EchoPulseSequence": "SPIN", "InversionRecovery": "YES"}, 120.0, 9000.0, None, None),
        ({"EchoPulseSequence": "GRADIENT", "AngioFlag": "Y"}, 3.4, 22.0, None, None),
    ],
)
def test_enhanced_mr_tells_its_sequence_in_its_own_attributes(
    attributes: dict[str, str], echo: float, repetition: float, inversion: float | None, sequence: Sequence | None
) -> None:
    """PS3.3 C.8.13.4: no Scanning Sequence, and times in functional groups."""
    header, groups, timing, echoes, modifier = (Dataset() for _ in range(5))
    header.Modality = "MR"
    for keyword in ("EchoPulseSequence", "EchoPlanarPulseSequence", "SteadyStatePulseSequence", "AngioFlag"):
        if keyword in attributes:
            setattr(header, keyword, attributes[keyword])
    timing.RepetitionTime = repetition
    echoes.EffectiveEchoTime = echo
    if "InversionRecovery" in attributes:
        modifier.InversionRecovery = attributes["InversionRecovery"]
    if inversion:
        modifier.InversionTimes = inversion
    groups.MRTimingAndRelatedParametersSequence = [timing]
    groups.MREchoSequence = [echoes]
    groups.MRModifierSequence = [modifier]
    header.SharedFunctionalGroupsSequence = [groups]

    assert sequence_of(facts_of_headers([header])).sequence is sequence


def test_a_name_that_contradicts_the_times_leaves_the_sequence_untold() -> None:
    told = sequence_of(mr("1.2", "T2 TSE", echo_times=(10.0,), repetition_time=500.0))

    assert told.sequence is None
    assert "T2 TSE" in told.because


@pytest.mark.parametrize(
    ("study", "phase"),
    [
        ("CT CHEST W/O CONTRAST", ContrastPhase.NONE),
        ("CT ANGIO CHEST W&W/O C", None),
        ("CT ABD & PELVIS W/O &", None),
        ("CT ABDOMEN WITH AND WITHOUT CONTRAST", None),
        ("CT Abdomen mit und ohne KM", None),
        ("CT ABDOMEN", None),
    ],
)
def test_a_study_tells_the_phase_only_where_it_has_one(study: str, phase: ContrastPhase | None) -> None:
    assert phase_of(series(Modality="CT", StudyDescription=study)).phase is phase


@pytest.mark.parametrize(
    ("description", "agent", "phase"),
    [
        ("ARTERIAL 1.5", "", ContrastPhase.ARTERIAL),
        ("F. ZYLNA  1.5  I31s  3", "", ContrastPhase.VENOUS),
        ("portalvenös 3mm", "Ultravist", ContrastPhase.VENOUS),
        ("5 MIN DELAY", "", ContrastPhase.DELAYED),
        ("5mm", "Omnipaque 350", ContrastPhase.ENHANCED),
        ("nativ 5mm", "", ContrastPhase.NONE),
        ("non con", "NONE", ContrastPhase.NONE),
        ("5mm", "", None),
        ("nativ 5mm", "Omnipaque", None),
    ],
)
def test_agent_and_words_tell_the_phase(description: str, agent: str, phase: ContrastPhase | None) -> None:
    facts = replace(series(Modality="CT", SeriesDescription=description), contrast_agent=agent)

    assert phase_of(facts).phase is phase


def test_attributes_that_are_garbled_say_nothing() -> None:
    header = Dataset()
    header[0x00180015] = RawDataElement(Tag(0x00180015), "ZZ", 4, b"HEAD", 0, False, True)
    header[0x00400275] = RawDataElement(Tag(0x00400275), "LO", 4, b"CT  ", 0, False, True)
    header[0x52009229] = RawDataElement(Tag(0x52009229), "SQ", 8, b"\xff" * 8, 0, False, True)
    header.Modality = "CT"
    facts = facts_of_headers([header])
    assert (facts.modality, facts.evidence.body_part_examined) == ("CT", "")


def test_a_sequence_in_place_of_text_and_numbers_that_are_none_say_nothing() -> None:
    header = Dataset()
    header.Modality = "MR"
    item = Dataset()
    item[0x505C4952] = RawDataElement(Tag(0x505C4952), "MA", 2, b"ab", 0, False, True)
    header[0x00080008] = DataElement(0x00080008, "SQ", [item])
    header[0x0008103E] = DataElement(0x0008103E, "SQ", [item])
    header[0x00180081] = DataElement(0x00180081, "FD", float("nan"))
    header[0x00280008] = DataElement(0x00280008, "FD", float("inf"))
    facts = facts_of_headers([header])
    assert (facts.modality, facts.image_type, facts.echo_times) == ("MR", (), ())
