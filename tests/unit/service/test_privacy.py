"""The packer refuses what may say who a patient is, names the place, and records who answers for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pydicom import Dataset

from iodeep.card import ModelCard, read_card
from iodeep.model_object import SelfTest, read_descriptor
from iodeep.model_object.manifest import manifest_bytes, manifest_of_bytes
from iodeep.packing import privacy_findings
from iodeep.service.packing import phantom
from iodeep.service.privacy import PrivacyError, check_privacy
from tests.unit.model_object.models import BRAIN_CARD, brain_self_test, ensemble_card, pack_ensemble

ROOT = Path(__file__).resolve().parents[3]
Change = Callable[[onnx.ModelProto], None]


def _model() -> onnx.ModelProto:
    names = helper.make_tensor("names", TensorProto.STRING, [1], [b"harmless"])  # type: ignore[list-item]  # strings are bytes
    nodes = [helper.make_node("Identity", ["input"], ["output"], name="node"), helper.make_node("Constant", [], ["n"])]
    nodes[1].attribute.append(helper.make_attribute("value", names))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("input", "output")]
    graph = helper.make_graph(
        nodes, "graph", ends[:1], ends[1:], [helper.make_tensor("w", TensorProto.FLOAT, [1], [1])]
    )
    return helper.make_model(graph)


def _findings(change: Change, folder: Path) -> list[str]:
    model = _model()
    change(model)
    card = read_card(BRAIN_CARD)
    path = folder / card.network.files[0]
    onnx.save(model, str(path))
    return [str(finding) for finding in privacy_findings(card, {path.name: path})]


def _doc_string(model: onnx.ModelProto) -> None:
    model.doc_string = "Trained on MUELLER^ANNA"


def _metadata(model: onnx.ModelProto) -> None:
    helper.set_model_props(model, {"source": "/data/1.3.12.2.1107.5.2.32.35162.2009/slice.dcm"})


def _producer(model: onnx.ModelProto) -> None:
    model.producer_name = "patient id: 4711-0815"


def _node_name(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "DOE^JANE/conv"


def _node_doc(model: onnx.ModelProto) -> None:
    model.graph.node[0].doc_string = "scan of 2019-03-12"


def _weights_doc(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].doc_string = "geb. 12.03.1961"


def _input_doc(model: onnx.ModelProto) -> None:
    model.graph.input[0].doc_string = "MRN 00123456"


def _string_tensor(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute[0].t.string_data[0] = b"Social security 123-45-6789"


def _metadata_key(model: onnx.ModelProto) -> None:
    helper.set_model_props(model, {"DOE^JANE": ""})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_doc_string, "the doc string of .* a person's name"),
        (_metadata, "the metadata source of .* a UID"),
        (_producer, "the producer of .* a patient's number"),
        (_node_name, "the node DOE.* a person's name"),
        (_node_doc, "the node node of .* examination's date"),
        (_weights_doc, "the weights w of .* a date of birth"),
        (_input_doc, "the tensor input of .* a patient's number"),
        (_string_tensor, "the node Constant of .* a social security number"),
        (_metadata_key, "the metadata DOE.* a person's name"),
    ],
)
def test_every_text_of_a_network_is_read(change: Change, said: str, tmp_path: Path) -> None:
    (found,) = _findings(change, tmp_path)

    assert re.search(said, found)


def test_what_was_found_is_shown_in_part_only(tmp_path: Path) -> None:
    (found,) = _findings(_doc_string, tmp_path)

    assert "ANNA" not in found


@pytest.mark.parametrize("path", sorted((ROOT / "sample_data").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_sample_cards_and_network_hold_nothing(path: Path) -> None:
    card = read_card(path)
    network = ROOT / "sample_data" / "brain" / "brain-extraction.onnx"
    files = {network.name: network} if network.name in card.network.files else {}

    assert privacy_findings(card, files) == ()


@pytest.mark.parametrize(
    "harmless",
    [
        "Trained on 1.200 MR of 2010-2019 (OASIS-3, ADNI), version 1.2.3.4, see doi:10.1016/j.neuroimage.2019.116.",
        "The study of 2019 had 300 patients; patient level split; no patient numbers are kept.",
        "Created 2026-01-31 by PyTorch 2.13.0; SNOMED CT 12738006; 1.2.840.10008.5.1.4.1.1.66",
        "Telephone +49 30 123456, Dice 0.95 (0.93-0.96)",
        "x^2 + y^2, 10^-6",
    ],
)
def test_what_cards_usually_say_is_no_finding(harmless: str) -> None:
    card = read_card(BRAIN_CARD)
    training = card.training.model_copy(update={"description": harmless})

    assert privacy_findings(card.model_copy(update={"training": training}), {}) == ()


def _card_saying(text: str) -> ModelCard:
    card = read_card(BRAIN_CARD)
    return card.model_copy(update={"summary": text})


def test_the_self_tests_patient_is_looked_for_everywhere() -> None:
    image = Dataset()
    image.PatientName, image.PatientID, image.PatientIdentityRemoved = "Doe^Jane", "PX9912", "YES"

    for text in ("Example px9912", "made for Jane"):
        with pytest.raises(PrivacyError, match="a value of the self-test's patient") as refused:
            check_privacy(_card_saying(text), {}, [image], None)
        assert "PX9912" not in str(refused.value)
    assert check_privacy(_card_saying("PX99123"), {}, [image], None) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"PatientName": "Doe^Jane"}, r"not de-identified \(PatientName\)"),
        ({"PatientBirthDate": "19610312"}, r"not de-identified \(PatientBirthDate\)"),
        ({"PatientIdentityRemoved": "NO"}, "is NO"),
        ({"PatientIdentityRemoved": "YES", "BurnedInAnnotation": "YES"}, "burned-in text"),
        ({"PatientIdentityRemoved": "YES", "RecognizableVisualFeatures": "YES"}, "recognisable face"),
    ],
)
def test_a_series_that_is_not_de_identified_makes_no_self_test(values: dict[str, str], said: str) -> None:
    image = Dataset()
    for keyword, value in values.items():
        setattr(image, keyword, value)

    with pytest.raises(PrivacyError, match=said):
        check_privacy(read_card(BRAIN_CARD), {}, [image], None)


@pytest.mark.parametrize("values", [{"PatientIdentityRemoved": "YES", "PatientName": "ANON^1"}, {"PatientID": "7"}])
def test_a_series_that_is_de_identified_does(values: dict[str, str]) -> None:
    image = Dataset()
    for keyword, value in values.items():
        setattr(image, keyword, value)

    assert check_privacy(read_card(BRAIN_CARD), {}, [image], None) is None


def test_an_answer_is_recorded_with_what_was_found_and_only_then() -> None:
    recorded = check_privacy(_card_saying("After DOE^JANE"), {}, [], "a made-up name")

    assert recorded is not None
    assert recorded.startswith("a made-up name (found: the card's summary holds what looks like a person's name")
    assert check_privacy(read_card(BRAIN_CARD), {}, [], "no reason") is None


def test_a_manifest_without_an_answer_is_as_manifests_were(tmp_path: Path) -> None:
    manifest = read_descriptor(pack_ensemble(tmp_path).descriptor).manifest
    despite = manifest.model_copy(update={"packed_despite": "a reason"})

    assert "packed_despite" not in json.loads(manifest_bytes(manifest))
    assert manifest_of_bytes(manifest_bytes(despite), "here").packed_despite == "a reason"


def test_trainable_files_are_read_too(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"cases": "DOE^JANE"}}).encode()
    (tmp_path / "trainable.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
    (tmp_path / "trainable.json").write_text('{"architecture": "unet", "note": "MRN 00123456"}')
    files = {path.name: path for path in tmp_path.iterdir()}

    found = {finding.where for finding in privacy_findings(ensemble_card(), files)}

    assert found == {"trainable.safetensors __metadata__ cases", "trainable.json note"}


def test_a_dicom_image_is_no_trainable_form() -> None:
    image = next((ROOT / "sample_data" / "mr-head").glob("*.dcm"))

    (found,) = privacy_findings(ensemble_card(), {"trainable.json.data": image})
    assert found.kind == "a DICOM image or object"


def test_a_self_test_carries_voxels_and_an_affine_alone() -> None:
    encoded = SelfTest(inputs={"image": phantom("MR")}, labels=np.ones((32, 64, 64), np.uint8)).encode()
    test = brain_self_test()

    assert b"PatientName" not in encoded
    assert set(vars(next(iter(test.inputs.values())))) == {"voxels", "affine"}
