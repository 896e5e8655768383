"""An answer is believed only where it fits what was asked (PS3.4 C.2.2.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from iodeep.errors import ArchiveError, InputError
from iodeep.ports import Level
from pacs_bridge.matching import dataset_attributes, fitting_answers, is_universal, keywords_of, matches


@pytest.mark.parametrize(
    ("keyword", "value", "key"),
    [
        ("PatientID", "AIM1.MR.BRAIN", ""),
        ("PatientID", "", "*"),
        ("PatientID", "AIM1.MR.BRAIN", "AIM1.MR.BRAIN"),
        ("PatientID", "AIM1.MR.BRAIN ", "AIM1.MR.BRAIN"),
        ("PatientID", "AIM1.MR.BRAIN.TUMOR.A", "AIM1.MR.BRAIN.*"),
        ("PatientID", "AIM1.MR.BRAIN", "AIM1.?R.*"),
        ("PatientID", "a[b", "a[*"),
        ("PatientName", "Doe^Jane^^^", "Doe^J*e"),
        ("PatientName", "Doe^Jane=", "Doe^Jane"),
        ("ModalitiesInStudy", "CT\\MR", "MR"),
        ("SeriesInstanceUID", "1.2.3", "1.2.4\\1.2.3"),
        ("SeriesNumber", "1000100", " 01000100 "),
        ("StudyDate", "20260228", "20260228"),
        ("StudyDate", "2026.02.28", "20260228"),
        ("StudyDate", "20260228", "20260101-20261231"),
        ("StudyDate", "20260228", "20260228-"),
        ("StudyDate", "20260228", "-20260228"),
        ("StudyTime", "101530.25", "10-10"),
        ("StudyTime", "1015", "101500"),
        ("AcquisitionDateTime", "20260228101500+0100", "2026-2026"),
    ],
)
def test_fits(keyword: str, value: str, key: str) -> None:
    assert matches({keyword: value}, {keyword: key})


@pytest.mark.parametrize(
    ("keyword", "value", "key"),
    [
        ("PatientID", "AIM1.MR.BRAIN", "aim1.mr.brain"),
        ("PatientID", "AIM1.MR.BRAINSTEM", "AIM1.MR.BRAIN"),
        ("PatientID", "XAIM1", "AIM1*"),
        ("PatientID", "AIM1XMR", "AIM1.MR"),
        ("PatientID", "", "AIM1*"),
        ("PatientName", "Doe^John", "Doe^Jane"),
        ("PatientName", "Doe^Jane", "DOE^JANE"),
        ("ModalitiesInStudy", "CT\\SR", "MR"),
        ("SeriesInstanceUID", "1.2.34", "1.2.3"),
        ("SeriesInstanceUID", "1.2.3", "1.2.*"),
        ("SeriesNumber", "1", "2"),
        ("SeriesNumber", "one", "1"),
        ("StudyDate", "20260228", "20260301-"),
        ("StudyDate", "20260228", "-20260227"),
        ("StudyDate", "", "-20260227"),
        ("StudyTime", "110000", "10-10"),
    ],
)
def test_does_not_fit(keyword: str, value: str, key: str) -> None:
    assert not matches({keyword: value}, {keyword: key})


def test_an_attribute_that_the_answer_does_not_hold_fits_no_key() -> None:
    assert not matches({}, {"Modality": "MR"})
    assert matches({}, {"Modality": ""})


def test_every_key_has_to_fit() -> None:
    assert not matches({"Modality": "MR", "SeriesNumber": "1"}, {"Modality": "MR", "SeriesNumber": "2"})


TOKENS = st.text("ABCZ019.-", min_size=1, max_size=12)


@given(value=TOKENS, star=st.integers(0, 12), end=st.integers(0, 12))
def test_a_value_fits_itself_and_itself_with_any_stretch_replaced_by_a_star(value: str, star: int, end: int) -> None:
    assert matches({"PatientID": value}, {"PatientID": value})
    assert matches({"PatientID": value}, {"PatientID": value[:star] + "*" + value[max(star, end) :]})


@given(first=TOKENS, second=TOKENS)
def test_without_wildcards_only_equal_values_fit(first: str, second: str) -> None:
    assert matches({"PatientID": first}, {"PatientID": second}) == (first == second)


def _series(uid: str, modality: str = "MR") -> dict[str, str]:
    return {"StudyInstanceUID": "1.2", "SeriesInstanceUID": uid, "Modality": modality}


def test_each_entity_is_answered_once_and_only_where_it_fits() -> None:
    found = fitting_answers(Level.SERIES, [_series("1"), _series("1"), _series("2", "CT")], {"Modality": "MR"})
    assert found == [_series("1")]


@pytest.mark.parametrize("uid", ["../../etc", "/etc", "1.2/../3", "1.2.3 x", ".."])
def test_a_study_or_series_whose_uid_could_be_a_path_is_left_out(uid: str) -> None:
    study = {"StudyInstanceUID": uid}
    series = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": uid}
    assert fitting_answers(Level.STUDY, [study, {"StudyInstanceUID": "1.2"}], {}) == [{"StudyInstanceUID": "1.2"}]
    assert fitting_answers(Level.SERIES, [series], {"StudyInstanceUID": "1.2"}) == []


def test_an_instance_is_never_left_out_unnoticed() -> None:
    instance = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.3", "SOPInstanceUID": "../x"}
    assert fitting_answers(Level.IMAGE, [instance], {"StudyInstanceUID": "1.2"}) == [instance]


def test_an_answer_without_its_unique_key_is_an_error() -> None:
    with pytest.raises(ArchiveError, match="SERIES level has no SeriesInstanceUID"):
        fitting_answers(Level.SERIES, [_series("")], {})


@pytest.mark.parametrize("key", ["", " ", "*", "**"])
def test_a_key_of_stars_alone_asks_for_nothing(key: str) -> None:
    assert is_universal(key)
    assert not is_universal(f"{key}?")


def test_keywords_are_the_unique_ones_then_the_keys_then_the_rest() -> None:
    assert keywords_of(Level.SERIES, {"Modality": "MR", "StudyInstanceUID": "1"}, ["SeriesNumber", "Modality"]) == (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
    )


@pytest.mark.parametrize("keyword", ["PatientIdentifier", "AnatomicRegionSequence", "PixelData"])
def test_what_has_no_text_value_cannot_be_asked_for(keyword: str) -> None:
    with pytest.raises(InputError, match=keyword):
        keywords_of(Level.STUDY, {}, [keyword])


def test_values_become_text_as_they_were_sent() -> None:
    dataset = Dataset()
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PatientName = "Müller^Jürgen"
    dataset.SeriesNumber = "0042"
    dataset.SliceThickness = "1.50"
    dataset.Rows = 512
    dataset.StudyDate = None
    keywords = ["ImageType", "PatientName", "SeriesNumber", "SliceThickness", "Rows", "StudyDate", "Modality"]
    assert list(dataset_attributes(dataset, keywords).values()) == [
        "ORIGINAL\\PRIMARY",
        "Müller^Jürgen",
        "0042",
        "1.50",
        "512",
        "",
        "",
    ]
