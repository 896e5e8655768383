"""What a contained process answers is believed after checks only; what it lacks, and its limits, end in one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from iodeep.card import card_of_document
from iodeep.errors import CardError, InferenceError, InputError
from iodeep.inference import containment_kernel as kernel
from iodeep.packing.importing import ImportedNetwork, Question, ReferenceImage, SourceKind
from iodeep.service.cli import app
from iodeep.service.importing import worker
from iodeep.service.importing.cards import check_agrees, draft_text, questions
from iodeep.service.importing.contained import MOST_RESULT_BYTES, ImportProcess
from iodeep.service.importing.packing import _unseen
from iodeep.settings import RunSettings
from tests.unit.inference import helpers

LIMITS = RunSettings(threads=1, memory_mib=1024, seconds=60)
ANSWER: dict[str, Any] = {
    "kind": "state-dict", "card": {}, "suggested": {}, "files": {"net.onnx": "net.onnx"}, "framework": "torch",
    "questions": [["inputs", "Which?"]], "notes": [],
}  # fmt: skip


@pytest.fixture
def process(tmp_path: Path) -> ImportProcess:
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "scratch").mkdir()
    return ImportProcess(tmp_path / "model.pt", tmp_path / "scratch", LIMITS)


def answering(
    process: ImportProcess, monkeypatch: pytest.MonkeyPatch, out: Path, content: bytes | dict[str, Any]
) -> None:
    """The process answers so, whatever it is asked."""
    written = content if isinstance(content, bytes) else json.dumps({"result": content}).encode()
    monkeypatch.setattr(process, "_run", lambda: (out / "result.json").write_bytes(written))


def test_an_answer_is_read(process: ImportProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "scratch" / "out"
    (out / "net.onnx").write_bytes(b"onnx")
    answering(process, monkeypatch, out, ANSWER)
    assert process.read() == ImportedNetwork(
        SourceKind.STATE_DICT, {}, {"net.onnx": out / "net.onnx"}, "torch", (Question("inputs", "Which?"),)
    )


@pytest.mark.parametrize(
    "content",
    [
        {**ANSWER, "files": {"net.onnx": "../../secret"}},
        {**ANSWER, "files": {"net.onnx": "/etc/hostname"}},
        {**ANSWER, "files": {"../net.onnx": "net.onnx"}},
        {**ANSWER, "files": {"net.onnx": "missing"}},
        {**ANSWER, "files": {"net.onnx": "link"}},
        {**ANSWER, "files": {"net.onnx": "net\0.onnx"}},
        {**ANSWER, "files": {"net.onnx": "n" * 400}},
        {**ANSWER, "framework": "torch\x1b[2J"},
        {**ANSWER, "kind": "other"},
        {**ANSWER, "further": 1},
        {**ANSWER, "notes": ["x" * 2000]},
        {name: value for name, value in ANSWER.items() if name != "card"},
        b"not JSON", b"[]", b"[" * 100_000, b"{}", b'{"error": 3}', b" " * (MOST_RESULT_BYTES + 1),
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_used_is_refused(
    process: ImportProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | dict[str, Any]
) -> None:
    out = tmp_path / "scratch" / "out"
    (out / "net.onnx").write_bytes(b"onnx")
    (out / "link").symlink_to("/etc/hostname")
    answering(process, monkeypatch, out, content)
    with pytest.raises(InputError, match="cannot be used"):
        process.read()


def test_a_probability_that_is_no_number_is_refused(
    process: ImportProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(process, monkeypatch, tmp_path / "scratch" / "out", {"masks": [], "heads": {"scores": [float("nan")]}})
    with pytest.raises(InputError, match="cannot be used"):
        process.predict([], {})


def test_what_the_containment_lacks_is_said_a_sentence_a_layer(
    process: ImportProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"user": "Python is not open to other users"}
    answering(process, monkeypatch, tmp_path / "scratch" / "out", {"lacking": said})
    (sentence,) = process.lacking()
    assert sentence.startswith("The process that reads the source is contained less than it should be: it runs as root")
    assert "(Python is not open to other users)" in sentence


def test_the_containment_is_asked_about_without_a_look_at_the_source(process: ImportProcess) -> None:
    """It is no network at all, so reading it fails."""
    sentences = process.lacking()
    assert all(sentence.startswith("The process that reads the source") for sentence in sentences)
    assert any("it runs as root" in sentence for sentence in sentences) is (
        os.geteuid() == 0 and not kernel.open_to_nobody([path for path in worker._libraries() if Path(path).exists()])
    )


def test_a_command_warns_loudly_of_what_the_containment_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    found = ImportedNetwork(SourceKind.STATE_DICT, {}, {}, "torch 2")
    monkeypatch.setattr(ImportProcess, "lacking", lambda _: ("It is contained less than it should be.",))
    monkeypatch.setattr(ImportProcess, "read", lambda _: found)
    command = ["pack", str(tmp_path / "model.pt"), "--out"]
    for_people = CliRunner().invoke(app, [*command, str(tmp_path / "one")], catch_exceptions=False)
    assert "WARNING It is contained less than it should be." in for_people.stdout
    for_scripts = CliRunner().invoke(app, [*command, str(tmp_path / "two"), "--json"], catch_exceptions=False)
    assert json.loads(for_scripts.stdout)["warnings"] == ["It is contained less than it should be."]


def test_a_mask_of_another_size_is_refused(
    process: ImportProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scratch" / "out"
    answering(process, monkeypatch, out, {"masks": [1], "heads": {}})
    image = ReferenceImage("image", np.zeros((2, 3, 4), np.float32), np.eye(4))
    (out / "mask-1").write_bytes(b"\x01" * 24)
    assert process.predict([image], {}).masks[1].all()
    (out / "mask-1").write_bytes(b"\x01" * 23)
    with pytest.raises(InputError, match="cannot be used"):
        process.predict([image], {})


def test_an_error_keeps_its_parts_and_an_unknown_kind_becomes_an_input_error(
    process: ImportProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"error": {"error": "SystemExit", "problem": "wrong", "expected": "right", "odd": "x"}}
    answering(process, monkeypatch, tmp_path / "scratch" / "out", json.dumps(told).encode())
    with pytest.raises(InputError, match=r"^wrong; expected right$"):
        process.read()


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "scratch").mkdir()
    hurried = ImportProcess(tmp_path / "model.pt", tmp_path / "scratch", LIMITS.model_copy(update={"seconds": 0.01}))
    with pytest.raises(InferenceError, match="took longer"):
        hurried.read()


def test_a_process_without_enough_memory_is_one_failed_command(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "scratch").mkdir()
    poor = ImportProcess(tmp_path / "model.pt", tmp_path / "scratch", LIMITS.model_copy(update={"memory_mib": 24}))
    with pytest.raises(InputError):
        poor.read()


@pytest.mark.parametrize("layer", worker.INDISPENSABLE)
def test_nothing_is_imported_without_the_layers_that_close_files_and_network(layer: str) -> None:
    result = worker._result({layer: "not here"}, {}, Path(), 1)
    assert "cannot be contained" in result["error"]["problem"]
    assert result["error"]["found"] == "not here"


def imported(**card: Any) -> ImportedNetwork:
    return ImportedNetwork(
        SourceKind.MONAI_BUNDLE, card, {}, "MONAI", suggested={"name": "Net", "summary": "a\n# b: c"}
    )


def test_a_draft_is_yaml_whatever_a_source_says() -> None:
    label = "odd\nreleased: 2020-01-01 # \u2028"
    found = imported(segmentation={"decode": "argmax", "segments": [{"number": 1, "channel": 1, "label": label}]})
    document = yaml.safe_load(draft_text(found))
    assert set(document) == {"schema_version", "name", "summary", "segmentation"}
    assert document["segmentation"]["segments"][0]["label"] == label
    assert {"released", "segmentation.segments.0.category"} <= {question.field for question in questions(found)}


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (
            {"inputs": [{"name": "image", "modality": "MR"}]},
            "inputs.0.modality is 'MR' in the source and 'CT' in the card",
        ),
        ({"inputs": [{"name": "image"}, {"name": "other"}]}, "inputs"),
        ({"preprocessing": [{"step": "orient", "axes": "RAS"}]}, "preprocessing"),
        ({"network": {"files": ["net.onnx"], "mirror_axes": [0, 1]}}, "network.mirror_axes"),
        ({"segmentation": {"threshold": 0.25}}, "segmentation.threshold is 0.25"),
        ({"segmentation": {"segments": [{"number": 1, "channel": 7}]}}, "segments.0.channel is 7"),
        ({"classifications": [{"tensor": "odd"}]}, "classifications"),
        ({"no_field": 1}, "'no_field', which no card has"),
    ],
)
def test_each_field_that_contradicts_is_named(said: dict[str, Any], named: str) -> None:
    with pytest.raises((CardError, InputError), match=named.replace(".", r"\.")):
        check_agrees(imported(**said), helpers.card())


def test_a_card_may_add_what_the_source_leaves_open() -> None:
    card = helpers.card()
    document = card.model_dump(mode="json")
    said = {"inputs": [{"name": "image"}], "network": document["network"], "preprocessing": document["preprocessing"]}
    check_agrees(imported(**said), card_of_document({**document, "version": "1.0.0"}, "here"))


def test_a_step_that_no_card_has_is_the_importers_fault_and_said() -> None:
    with pytest.raises(InputError, match="preprocessing"):
        check_agrees(imported(preprocessing=[{"step": "odd"}]), helpers.card())


@pytest.mark.parametrize(
    ("found", "inputs", "named"),
    [
        (ImportedNetwork(SourceKind.TORCHSCRIPT, {}, {}, "torch"), ("image",), ["the export alone"]),
        (ImportedNetwork(SourceKind.NNUNET, {"preprocessing": [{"step": "orient"}]}, {}, "nnU-Net"), ("image",), ["lay so"]),
        (ImportedNetwork(SourceKind.NNUNET, {"preprocessing": [{"step": "orient", "axes": "SAR"}]}, {}, "nnU-Net"), ("image",), []),
        (imported(preprocessing=[{"step": "orient", "axes": "RAS"}]), ("t1", "flair"), ["first one's grid"]),
    ],
)  # fmt: skip
def test_what_is_alike_on_both_sides_is_said_to_be_unseen(
    found: ImportedNetwork, inputs: tuple[str, ...], named: list[str]
) -> None:
    sentences = list(_unseen(helpers.card(inputs=inputs), found))
    assert len(sentences) == len(named)
    assert all(part in sentence for part, sentence in zip(named, sentences, strict=True))
