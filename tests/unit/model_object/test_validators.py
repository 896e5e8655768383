"""Every instance that is packed satisfies validators that others wrote."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map
from pydicom import Dataset, dcmread

from iodeep.card import CodedTerm, Laterality, ModelCard
from iodeep.model_object import PackedModel, pack_model

from .models import ENSEMBLE, brain_self_test, ensemble_card, pack_ensemble, write_payloads


def variations() -> dict[str, ModelCard]:
    card = ensemble_card()
    glioma = CodedTerm(value="393564001", scheme="SCT", meaning="Glioma")
    targets: dict[str, dict[str, object]] = {
        "brain": {},
        "glioma": {"conditions": (glioma,), "condition_token": "GLIOMA"},
        "two regions": {"regions": ("HEAD", "NECK")},
        "paired": {"regions": ("KIDNEY",)},
        "left": {"regions": ("KIDNEY",), "laterality": Laterality.LEFT},
        "both": {"regions": ("KIDNEY",), "laterality": Laterality.BOTH},
    }
    cards = {
        name: card.model_copy(update={"target": card.target.model_copy(update=update)})
        for name, update in targets.items()
    }
    ct = card.inputs[0].model_copy(update={"name": "ct", "modality": "CT"})
    return {
        **cards,
        "two modalities": card.model_copy(update={"inputs": (*card.inputs, ct)}),
        "product, umlauts": card.model_copy(update={"qualification": "PRODUCT", "name": "Gehirn für alle"}),
    }


VARIATIONS = variations()


@pytest.fixture(params=list(VARIATIONS))
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> PackedModel:
    name: str = request.param
    if name == "brain":
        return pack_ensemble(tmp_path, self_test=brain_self_test())
    return pack_model(VARIATIONS[name], write_payloads(tmp_path / "files", ENSEMBLE), tmp_path / "packed")


def test_dciodvfy_finds_no_error(packed: PackedModel) -> None:
    for path in (packed.descriptor, packed.parts[0], packed.parts[-1]):
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert "Error" not in done.stderr + done.stdout
        assert done.returncode == 0
        assert "RawData" in done.stderr, "dciodvfy checked another IOD"


def test_the_modules_of_ps3_3_have_what_they_require(packed: PackedModel) -> None:
    """highdicom's tables of PS3.3 2026b: every attribute of type 1 has a value, every one of type 2 is present."""
    for path in (packed.descriptor, packed.parts[0]):
        dataset = dcmread(path)
        checked = 0
        for module in get_iod_module_map()["raw-data"]:
            if module["usage"] == "M":
                for attribute in get_module_attribute_map()[module["key"]]:
                    checked += required(dataset, attribute)
        assert checked > 30


def required(dataset: Dataset, attribute: dict[str, object]) -> int:
    """Assert that one attribute is there, in each item of the sequences that lead to it; how many were looked at."""
    items = [dataset]
    for step in attribute["path"]:  # type: ignore[attr-defined]
        items = [item for parent in items for item in parent.get(step) or ()]
    keyword, kind = str(attribute["keyword"]), attribute["type"]
    if kind == "1":
        assert all(item.get(keyword) not in (None, "") for item in items), keyword
    elif kind == "2":
        assert all(keyword in item for item in items), keyword
    else:
        return 0
    return len(items)


def test_no_clinical_trial_quality_control_or_person_is_claimed(packed: PackedModel) -> None:
    dataset = dcmread(packed.descriptor)

    assert "QualityControlSubject" not in dataset
    assert not [element.keyword for element in dataset if element.keyword.startswith("ClinicalTrial")]
    assert not dataset.PatientBirthDate
    assert not dataset.PatientSex
    assert not dataset.AccessionNumber


def test_every_private_element_that_is_written_is_declared(packed: PackedModel) -> None:
    dataset = dcmread(packed.parts[0])
    declared = {
        (item.PrivateGroupReference, definition.PrivateDataElement, definition.PrivateDataElementValueRepresentation)
        for item in dataset.PrivateDataElementCharacteristicsSequence
        for definition in item.PrivateDataElementDefinitionSequence
    }

    written = {
        (element.tag.group, element.tag.element & 0xFF, element.VR)
        for element in dataset
        if element.tag.is_private and not element.tag.is_private_creator
    }
    assert written <= declared
    assert written
