"""The card: valid ones survive their encodings, bad ones say which field, what value and what is allowed."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from iodeep.card import ModelCard, card_document, card_json_schema, card_of_document, read_card
from iodeep.errors import CardError

ROOT = Path(__file__).resolve().parents[3]
BRAIN = ROOT / "sample_data" / "brain" / "card.yaml"
SAMPLE_CARDS = [BRAIN, *sorted((ROOT / "sample_data" / "others").glob("*.yaml"))]


@pytest.fixture
def document() -> dict[str, Any]:
    return card_document(read_card(BRAIN))


@pytest.mark.parametrize("path", SAMPLE_CARDS, ids=lambda path: path.stem)
def test_each_sample_card_survives_its_json_encoding(path: Path) -> None:
    card = read_card(path)

    assert card_of_document(json.loads(json.dumps(card_document(card))), "copy") == card


def test_patient_id_carries_the_tokens_by_which_c_find_narrows() -> None:
    assert read_card(BRAIN).patient_id == "AIM1.MR.HEAD.ANY.BRAINMASK"
    assert read_card(ROOT / "sample_data/others/mr-glioma.yaml").patient_id == "AIM1.MR.BRAIN.GLIOMA.GLIOMA"


def test_every_patient_id_fits_its_vr() -> None:
    longest = read_card(BRAIN).model_copy(update={"token": "A" * 16})
    target = longest.target.model_copy(update={"regions": ("CHESTABDPELVIS",), "condition_token": "B" * 16})

    assert len(longest.model_copy(update={"target": target}).patient_id) <= 64


def test_several_regions_give_the_token_multi(document: dict[str, Any]) -> None:
    document["target"]["regions"] = ["HEAD", "NECK"]

    assert card_of_document(document, "two regions").patient_id.split(".")[2] == "MULTI"


def test_anatomy_comes_with_its_snomed_code() -> None:
    (region,) = read_card(BRAIN).target.anatomy

    assert (region.code.value, region.code.scheme) == ("69536005", "SCT")


def _with(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = deepcopy(document)
    *way, last = path.split("/")
    here: Any = changed
    for step in way:
        here = here[int(step)] if isinstance(here, list) else here[step]
    here[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("version", "1.2", "version: must be three numbers such as \"1.2.0\", found '1.2'"),
        ("version", "1.2.100", "less than or equal to 99"),
        ("target/regions", ["HEADD"], "HEADD: not a Body Part Examined defined term"),
        ("qualification", "CLINICAL", "'RESEARCH', 'PRODUCT' or 'SERVICE'"),
        ("token", "brain mask", "token"),
        ("inputs/0/modality", "MRI", "inputs.0.modality"),
        ("preprocessing/0/axes", "RRS", "must name one of R/L"),
        ("preprocessing/0/step", "run_python", "preprocessing.0"),
        ("network/files", ["../../etc/passwd"], "network.files.0"),
        ("network/context_slices", 2, "2.5D"),
        ("network/inference", {"mode": "patches", "size": [64, 64]}, "needs 3 numbers"),
        ("segmentation/segments/0/number", 2, "must be numbered 1, 2, 3"),
        ("segmentation", None, "needs a segmentation, classifications, or both"),
        ("postprocessing", [{"step": "fill_holes", "segments": [7]}], "names a segment"),
        ("self_test/minimum_dice", 1.5, "less than or equal to 1"),
        ("unheard_of", 1, "unheard_of: Extra inputs are not permitted"),
    ],
)
def test_a_bad_field_is_named_with_what_is_allowed(document: dict[str, Any], path: str, value: Any, named: str) -> None:
    with pytest.raises(CardError) as raised:
        card_of_document(_with(document, path, value), "card.yaml")

    assert named in str(raised.value)


def test_a_missing_file_and_a_file_that_is_no_card_say_so(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="cannot be read"):
        read_card(tmp_path / "none.yaml")
    for name, text in {"list.yaml": "- 1", "broken.yaml": "a: [", "tag.yaml": "!!python/object:os.system {}"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(CardError):
            read_card(tmp_path / name)


def test_a_card_is_frozen() -> None:
    card = read_card(BRAIN)

    with pytest.raises(ValueError, match="frozen"):
        card.name = "Another"  # type: ignore[misc]


def test_the_published_schema_is_the_one_that_the_code_keeps() -> None:
    published = json.loads((ROOT / "docs" / "card.schema.json").read_text())

    assert published == card_json_schema()


def test_the_published_schema_has_every_field_of_a_card() -> None:
    assert set(card_json_schema()["properties"]) == set(ModelCard.model_fields)


def test_unquoted_dates_and_versions_of_yaml_are_understood() -> None:
    text = BRAIN.read_text()

    assert yaml.safe_load(text)["released"].year == 2024
    assert read_card(BRAIN).released.year == 2024


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)), "an alias"),
        ("&a {name: *a}", "an alias"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ("name: " + "9" * 5000, "digits"),
        ("name: 0x" + "f" * 100_000, "holds what no card does"),
        ("name: 2026-02-30", "day is out of range"),
        ("? 2026-02-03\n: x", "holds what no card does"),
        ("name: !!python/object/apply:os.system ['id']", "could not determine a constructor"),
    ],
    ids=["bomb", "circle", "deep", "digits", "hexadecimal", "date", "key", "python"],
)
def test_text_that_harms_who_reads_it_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CardError, match=reason):
        read_card(path)


@pytest.mark.parametrize("unseen", ["\x1b[2J", "\x07", "\u202e", "\u200b", "\ufeff", "\u2028"])
@pytest.mark.parametrize("path", ["name", "summary", "developer/name", "intended_use/purpose"])
def test_a_text_with_what_nobody_sees_is_refused(document: dict[str, Any], path: str, unseen: str) -> None:
    with pytest.raises(CardError, match=path.replace("/", ".")) as refused:
        card_of_document(_with(document, path, f"Brain{unseen}x"), "test")
    assert f"U+{ord(unseen[0]):04X}" in str(refused.value)


def test_files_whose_names_some_systems_take_for_one_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(CardError, match="differ in case alone"):
        card_of_document(_with(document, "network/files", ["net.onnx", "Net.onnx"]), "test")


def test_a_card_with_everything_wrong_is_told_shortly(document: dict[str, Any]) -> None:
    document["inputs"] = [{"name": 1}] * 500
    with pytest.raises(CardError, match=r"and \d+ more") as refused:
        card_of_document({**document, "name": "x" * 100_000}, "test")
    assert len(str(refused.value)) < 10_000


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize("line", ["slice_spacing_mm: {{ max: {} }}", "pixel_spacing_mm: {{ min: {} }}"])
def test_a_limit_that_is_no_number_is_refused(tmp_path: Path, line: str, number: str) -> None:
    """No spacing is above a limit that is not a number: every series would be eligible."""
    path = tmp_path / "card.yaml"
    text = BRAIN.read_text(encoding="utf-8")
    path.write_text(text.replace("slice_count: { min: 12 }", line.format(number)).replace("      slice_spacing_mm: { max: 8 }\n", "").replace("      pixel_spacing_mm: { max: 2 }\n", ""), encoding="utf-8")  # fmt: skip
    with pytest.raises(CardError, match="finite number"):
        read_card(path)
