"""QIDO-RS: what is found, what is refused, and how an answer says that there is more."""

from __future__ import annotations

import pytest

from tests.unit.pacs_bridge.gateway.conftest import CT_SERIES, CT_STUDY, MR_STUDY, ROOT, Site

STUDIES = f"{ROOT}/studies"


def _value(document: dict[str, dict[str, list[object]]], tag: str) -> object:
    return (document[tag].get("Value") or [None])[0]


def test_studies_are_found_the_newest_first_with_what_the_standard_requires(site: Site) -> None:
    answer = site.client.get(STUDIES)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    assert [_value(each, "0020000D") for each in answer.json()] == [MR_STUDY, CT_STUDY]
    ct = answer.json()[1]
    assert ct["00080061"] == {"vr": "CS", "Value": ["CT"]}
    assert (_value(ct, "00201206"), _value(ct, "00201208")) == (1, 4)
    assert ct["00100030"] == {"vr": "DA"}
    assert _value(ct, "00081190") == f"http://testserver{STUDIES}/{CT_STUDY}"
    assert list(ct) == sorted(ct)


def test_model_objects_are_not_among_patients_unless_asked_for(site: Site) -> None:
    without = site.client.get(STUDIES, params={"PatientID": "AIM1*"})
    series = site.client.get(f"{STUDIES}/2.25.77/series")
    asked = site.client.get(STUDIES, params={"PatientID": "AIM1*", "iodeep-models": "true"})

    assert (without.status_code, series.status_code) == (204, 204)
    assert [_value(each, "0020000D") for each in asked.json()] == ["2.25.77"]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"PatientID": "P?"}, 2),
        ({"00100020": "P1"}, 1),
        ({"PatientName": "Müller*"}, 1),
        ({"StudyDate": "20250101-"}, 1),
        ({"StudyDate": "20240102-20250203", "StudyTime": "040000-101112"}, 1),
        ({"StudyDate": "20240102-20250203", "StudyTime": "030405-101112"}, 2),
        ({"StudyInstanceUID": f"{CT_STUDY},{MR_STUDY}"}, 2),
        ({"ModalitiesInStudy": "MR"}, 1),
        ({"ModalitiesInStudy": "MR,CT"}, 2),
        ({"PatientID": "p1"}, 0),
    ],
)
def test_keys_match_as_in_c_find(site: Site, keys: dict[str, str], found: int) -> None:
    answer = site.client.get(STUDIES, params=keys)

    assert len(answer.json() if answer.status_code == 200 else []) == found


@pytest.mark.parametrize(
    "keys",
    [
        {"Modality": "CT"},
        {"NoSuchThing": "1"},
        {"00091001": "1"},
        {"RequestAttributesSequence.RequestedProcedureID": "1"},
        {"limit": "-1"},
        {"offset": "x"},
    ],
)
def test_a_key_that_cannot_be_asked_is_refused_rather_than_ignored(site: Site, keys: dict[str, str]) -> None:
    answer = site.client.get(STUDIES, params=keys)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_repeated_key_is_refused(site: Site) -> None:
    assert site.client.get(f"{STUDIES}?PatientID=P1&00100020=P2").status_code == 400


def test_pages_follow_each_other_and_say_how_much_remains(site: Site) -> None:
    first, second = (site.client.get(STUDIES, params={"limit": 1, "offset": offset}) for offset in (0, 1))
    after = site.client.get(STUDIES, params={"limit": 1, "offset": 2})

    assert "There are 1 additional results that can be requested" in first.headers["warning"]
    assert "warning" not in second.headers
    assert [_value(each.json()[0], "0020000D") for each in (first, second)] == [MR_STUDY, CT_STUDY]
    assert (after.status_code, after.content) == (204, b"")


def test_fuzzy_matching_is_not_done_and_that_is_said(site: Site) -> None:
    answer = site.client.get(STUDIES, params={"PatientID": "P1", "fuzzymatching": "true"})

    assert "Only literal matching has been performed" in answer.headers["warning"]
    assert len(answer.json()) == 1


def test_series_and_instances_hold_what_the_standard_requires(site: Site) -> None:
    series = site.client.get(f"{STUDIES}/{CT_STUDY}/series").json()
    instances = site.client.get(f"{site.series}/instances").json()
    everything = site.client.get(f"{ROOT}/instances", params={"Modality": "CT"}).json()

    assert (_value(series[0], "00080060"), _value(series[0], "00201209")) == ("CT", 4)
    assert [_value(each, "00080018") for each in instances] == site.uids
    assert (_value(instances[0], "00280010"), _value(instances[0], "00280011")) == (48, 40)
    assert "00080020" not in instances[0]
    assert (_value(everything[0], "00100020"), _value(everything[0], "0020000E")) == ("P1", CT_SERIES)


def test_fields_are_included_and_those_of_lower_levels_left_out(site: Site) -> None:
    (study,) = site.client.get(STUDIES, params={"PatientID": "P1", "includefield": "00081030,Modality"}).json()
    (series,) = site.client.get(f"{STUDIES}/{CT_STUDY}/series", params={"includefield": "all"}).json()

    assert _value(study, "00081030") == "Synthetic"
    assert "00080060" not in study
    assert _value(series, "00180015") == "HEAD"
    assert _value(series, "00100020") == "P1"


def test_what_an_archive_does_not_tell_is_worked_out(site: Site) -> None:
    site.shelf.unknown = ("ModalitiesInStudy", "NumberOfStudyRelatedInstances", "SOPClassUID", "Rows")

    (study,) = site.client.get(STUDIES, params={"ModalitiesInStudy": "MR"}).json()
    (before, *_) = site.client.get(f"{site.series}/instances").json()
    site.client.get(f"{site.series}/metadata")
    (after, *_) = site.client.get(f"{site.series}/instances").json()

    assert (_value(study, "0020000D"), _value(study, "00201208")) == (MR_STUDY, 2)
    assert "00280010" not in before
    assert _value(after, "00280010") == 48


def test_only_json_is_given(site: Site) -> None:
    xml = site.client.get(STUDIES, headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    plain = site.client.get(STUDIES, headers={"Accept": "application/json"})

    assert xml.status_code == 406
    assert plain.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["nobody%20else", "dicom:x"])
def test_an_archive_is_named_and_never_addressed(site: Site, name: str) -> None:
    assert site.client.get(f"{ROOT}/pacs/{name}/studies").status_code == 404
    assert site.client.get(f"{ROOT}/pacs/main/studies").status_code == 200


def test_a_path_that_holds_no_uid_is_refused(site: Site) -> None:
    assert site.client.get(f"{STUDIES}/..%5C..%5Cetc/series").status_code == 400
