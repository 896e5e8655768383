"""What leaves an object: the same card and files again, and a bundle that MONAI runs to the same mask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from iodeep.card import ModelCard, card_document, card_of_document, read_card
from iodeep.errors import CardError, InputError
from iodeep.inference import Engine
from iodeep.packing.exporting import BundleSource, card_yaml, unsaid_in_bundle, write_bundle, write_onnx_folder
from iodeep.packing.exporting.inference import inference_config
from iodeep.packing.exporting.metadata import (
    MONAI_VERSION,
    NUMPY_VERSION,
    ONNXRUNTIME_VERSION,
    PYTORCH_VERSION,
    metadata,
)
from iodeep.packing.exporting.plain import in_markdown, plain
from iodeep.packing.importing.monai_bundle import importer
from iodeep.service.subjects import local_series
from iodeep.settings import RunSettings
from iodeep.volume import Volume, open_series
from tests.networks import random_convolutions, tiny_labeller, tiny_segmenter
from tests.sources import completed, trained
from tests.sources import write_bundle as write_source
from tests.synthetic import write_series
from tests.unit.inference.helpers import card as made_card
from tests.unit.inference.helpers import head, segment
from tests.unit.packing.bundles import dice, masks_by_monai, monai_quiet, parser_of

ROOT = Path(__file__).resolve().parents[3]
BRAIN = ROOT / "sample_data" / "brain"
SAMPLES = [BRAIN / "card.yaml", *sorted((ROOT / "sample_data" / "others").glob("*.yaml"))]
"""Mandatory keys of metadata.json (MONAI Bundle Specification), with the name that MONAI has for one of them now."""
MANDATORY = {
    "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version", "task", "description",
    "authors", "copyright", "network_data_format",
}  # fmt: skip
TENSOR_KEYS = {
    "type", "format", "modality", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data", "channel_def",
}  # fmt: skip


def brain_source() -> BundleSource:
    card = read_card(BRAIN / "card.yaml")
    return BundleSource(card, {"brain-extraction.onnx": BRAIN / "brain-extraction.onnx"}, 2, ("From a test.",))


def written(source: BundleSource, folder: Path) -> Path:
    folder.mkdir()
    write_bundle(source, folder)
    return folder


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_card_is_the_same_after_it_was_written(path: Path) -> None:
    card = read_card(path)

    again = card_of_document(_yaml(card_yaml(card, ("From a test.",))), "test")

    assert again == card
    assert card_document(again) == card_document(card)


def _yaml(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


@settings(max_examples=60, deadline=None)
@example("a\n\n  b: #d\n- *e\n")
@given(st.text(min_size=1, max_size=64).filter(lambda text: text.strip()))
def test_any_text_of_a_card_is_the_same_after_it_was_written(text: str) -> None:
    document = card_document(read_card(BRAIN / "card.yaml"))
    document["licence"]["text"] = text
    try:
        card = card_of_document(document, "test")
    except CardError:
        reject()  # what nobody sees

    assert card_of_document(_yaml(card_yaml(card)), "test") == card


def test_files_and_card_leave_as_they_are(tmp_path: Path) -> None:
    source = brain_source()
    out = tmp_path / "out"
    out.mkdir()

    write_onnx_folder(source.card, source.files, out, source.origin)

    assert sorted(path.name for path in out.iterdir()) == ["brain-extraction.onnx", "card.yaml"]
    assert (out / "brain-extraction.onnx").read_bytes() == (BRAIN / "brain-extraction.onnx").read_bytes()
    assert read_card(out / "card.yaml") == source.card


def test_a_bundle_has_the_files_and_keys_of_the_specification(tmp_path: Path) -> None:
    bundle = written(brain_source(), tmp_path / "bundle")
    told = json.loads((bundle / "configs" / "metadata.json").read_text())

    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert names == {
        "card.yaml", "configs/inference.json", "configs/metadata.json", "docs/README.md", "docs/license.txt",
        "models/model.onnx",
    }  # fmt: skip
    assert set(told) >= MANDATORY
    for tensor in (told["network_data_format"]["inputs"]["image"], told["network_data_format"]["outputs"]["pred"]):
        assert set(tensor) == TENSOR_KEYS
        assert len(tensor["channel_def"]) == tensor["num_channels"]
    assert told["network_data_format"]["inputs"]["image"]["spatial_shape"] == [128, 128, 128]
    assert told["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "Brain"}
    assert "For research only" in (bundle / "docs" / "README.md").read_text()
    assert "MIT" in (bundle / "docs" / "license.txt").read_text()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_card_gives_a_configuration_without_numbers_that_json_lacks(path: Path) -> None:
    card = read_card(path)

    document = inference_config(card, card.network.files, None).document

    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(metadata(card, None)) >= MANDATORY


def test_the_versions_that_are_told_are_those_that_were_tried() -> None:
    told = {
        "monai": MONAI_VERSION,
        "torch": PYTORCH_VERSION,
        "numpy": NUMPY_VERSION,
        "onnxruntime": ONNXRUNTIME_VERSION,
    }

    assert {name: version(name).partition("+")[0] for name in told} == told


HOSTILE = ("$__import__('pathlib').Path('{marker}').touch()", "%{marker}", "@network", "all @## of %# it", "100%::x")


def hostile_card(text: str) -> ModelCard:
    """The brain's, with the text wherever a card has free text."""
    document = card_document(read_card(BRAIN / "card.yaml"))
    short = text[:60].replace("^", "").replace("=", "").replace("\\", "")
    document |= {"name": short[:48], "summary": short}
    document["developer"] = {"name": short, "contact": text, "url": text}
    document["licence"] = {"spdx": text, "source": text, "text": text}
    document["intended_use"] = {"purpose": text, "users": text, "limits": [text]}
    document["training"] = {"description": text}
    document["performance"] = [{"metric": text, "value": 1.0, "test_set": text, "cases": 1, "source": text}]
    document["segmentation"]["segments"][0]["label"] = short
    document["segmentation"]["segments"][0]["type"]["meaning"] = short
    return card_of_document(document, "test")


def strings(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for value in document.values():
            yield from strings(value)
    elif isinstance(document, list | tuple):
        for value in document:
            yield from strings(value)
    elif isinstance(document, str):
        yield document


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_card_becomes_an_expression(text: str, tmp_path: Path) -> None:
    card = hostile_card(text.format(marker=tmp_path / "marker"))
    usual = read_card(BRAIN / "card.yaml")

    assert inference_config(card, ["model.onnx"], 2) == inference_config(usual, ["model.onnx"], 2)
    assert not [each for each in strings(metadata(card, 2)) if each.startswith(("$", "%", "@")) or "@#" in each]


@given(st.text(alphabet="$%@#: a", max_size=8))
def test_plain_text_begins_with_no_sign_and_has_none_that_is_relative(text: str) -> None:
    made = plain(text)

    assert not made.startswith(("$", "%", "@"))
    assert not any(sign + mark in made for sign in "@%" for mark in ("#", "::"))
    assert made.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("name", ["$exit()", "@sessions", "%models", "a#b"])
def test_a_tensor_that_a_configuration_cannot_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be named in a MONAI configuration"):
        unsaid_in_bundle(BundleSource(made_card(network={"input_tensor": name}), {"net.onnx": Path("net.onnx")}))


def test_markup_of_a_card_does_not_count() -> None:
    assert in_markdown("<script>x</script>\n# [a](b) `c`") == r"&lt;script&gt;x&lt;/script&gt; \# \[a\](b) \`c\`"


def test_what_monai_does_otherwise_is_told() -> None:
    steps = (
        {"step": "z_score", "foreground_above": 0},
        {"step": "clip_percentiles", "lower": 1, "upper": 99, "foreground_above": 3},
        {"step": "resample_spacing", "mm": [1, 1, 1], "interpolation": "cubic"},
        {"step": "scale_shift", "scale": 2, "channels": [0]},
    )

    told = " ".join(unsaid_in_bundle(BundleSource(made_card(steps=steps), {"net.onnx": Path("net.onnx")}, 2)))

    for words in ("z_score", "clip_percentiles", "resample_spacing", "orients nothing", "channels = (0,)"):
        assert words in told


ORIENT = {"step": "orient", "axes": "RAS"}
SLICES = {"inputs": 1, "dimensions": 2}


def _case(
    make: Any, steps: Any, network: Any = None, segmentation: Any = None, channels: int | None = 2, **more: Any
) -> Any:
    return make, channels, {"steps": (ORIENT, *steps), "network": network, "segmentation": segmentation, **more}


CASES = {
    "spacing, size, nonzero, mean": _case(
        lambda path: random_convolutions(path, seed=8),
        (
            {"step": "resample_spacing", "mm": [0.6, None, 1.2], "interpolation": "nearest", "grid": "centres"},
            {"step": "z_score", "mask": "nonzero"},
            {"step": "crop_nonzero"},
            {"step": "pad_to_size", "shape": [44, 20, 20]},
            {"step": "pad_to_multiple", "multiple": 4, "sides": "both"},
        ),
        {
            "mirror_axes": [1],
            "inference": {
                "mode": "patches",
                "size": [16, 16, 16],
                "overlap": 0.25,
                "least_weight": 0.001,
            },
        },
        {"decode": "argmax", "activation": "softmax", "activate": "mean", "segments": [segment(1, 1)]},
    ),
    "window, shift, clip, whole": _case(
        lambda path: tiny_segmenter(path, threshold=0.4),
        (
            {"step": "window", "center": 40, "width": 400},
            {"step": "scale_shift", "scale": 2, "shift": -0.5},
            {"step": "clip", "low": 0.1, "high": 1.2},
        ),
        post=({"step": "minimum_volume", "ml": 0.02},),
    ),
    "crop, pad, patches": _case(
        lambda path: random_convolutions(path, seed=3),
        (
            {"step": "crop_foreground", "above": -500, "margin": 2},
            {"step": "z_score"},
            {"step": "pad_to_multiple", "multiple": 8, "value": -1},
        ),
        {"inference": {"mode": "patches", "size": [16, 16, 16], "overlap": 0.5, "blending": "constant"}},
        {"decode": "threshold", "segments": [segment(1, 1)]},
    ),
    "slices in patches": _case(
        lambda path: random_convolutions(path, dimensions=2),
        ({"step": "resize", "shape": [24, 20, 8], "interpolation": "nearest"}, {"step": "scale_range"}),
        {
            "dimensions": "2D",
            "slice_axis": 2,
            "inference": {"mode": "patches", "size": [16, 16], "overlap": 0, "blending": "constant"},
        },
    ),
    "slices with their neighbours": _case(
        lambda path: random_convolutions(path, dimensions=2, inputs=3),
        ({"step": "z_score"},),
        {"dimensions": "2.5D", "context_slices": 1, "slice_axis": 0},
        post=({"step": "largest_component"}, {"step": "fill_holes"}),
    ),
    "mirrored": _case(
        lambda path: random_convolutions(path, classes=3, seed=5),
        ({"step": "z_score"},),
        {"mirror_axes": [0, 2]},
        {"decode": "argmax", "segments": [segment(1, 2), segment(2, 1)]},
        channels=3,
    ),
    "label values": _case(
        lambda path: tiny_labeller(path, thresholds=(0.5, 1.9)),
        ({"step": "z_score"},),
        None,
        {"decode": "labels", "segments": [segment(1, 2), segment(2, 1)]},
        channels=None,
    ),
    "two series": _case(
        lambda path: tiny_segmenter(path, inputs=2, threshold=-0.2),
        ({"step": "z_score"},),
        inputs=("first", "second"),
    ),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(RunSettings()) as engine:
        yield engine


def body(seed: int) -> npt.NDArray[np.int16]:
    """An ellipsoid with noise in air, 12 x 28 x 24 voxels, stored values of a CT."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in (12, 28, 24)), indexing="ij")
    noise = np.random.default_rng(seed).integers(-300, 300, z.shape)
    return np.where(z**2 + y**2 + (x - 0.1) ** 2 < 0.6, 1100 + noise, 24).astype(np.int16)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda name: name)
def test_monai_gives_the_same_mask_with_the_bundle(case: str, tmp_path: Path, engine: Engine) -> None:
    make, channels, asked = CASES[case]
    card = made_card(**asked)
    files = {"net.onnx": make(tmp_path / "net.onnx")}
    series = {}
    for number, each in enumerate(card.inputs):
        write_series(tmp_path / each.name, body(number), name=each.name)
        series[each.name] = tmp_path / each.name
    volumes = {name: _volume(folder) for name, folder in series.items()}
    bundle = written(BundleSource(card, files, channels), tmp_path / "bundle")

    keys = series if len(series) > 1 else {"image": series["image"]}
    theirs = masks_by_monai(bundle, keys)
    ours = engine.run(card, files, volumes).segmentation

    assert ours is not None
    for number in range(1, 1 + len(card.segmentation.segments)):  # type: ignore[union-attr]
        found = theirs[number - 1] > 0 if card.segmentation.decode == "threshold" else theirs[0] == number  # type: ignore[union-attr]
        assert dice(ours.mask(number), found) >= 0.999


def _volume(folder: Path) -> Volume:
    (files,) = local_series(folder)
    return open_series(files).read_volume()


@pytest.mark.slow
def test_monai_finds_the_same_brain(tmp_path: Path, engine: Engine) -> None:
    source = brain_source()
    head_series = ROOT / "sample_data" / "mr-head"

    theirs = masks_by_monai(written(source, tmp_path / "bundle"), {"image": head_series})
    ours = engine.run(source.card, source.files, {"image": _volume(head_series)}).segmentation

    assert unsaid_in_bundle(source) == ()
    assert ours is not None
    assert dice(ours.mask(1), theirs[0] == 1) >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_monai_evaluates_no_text_of_a_card(text: str, tmp_path: Path) -> None:
    card = hostile_card(text.format(marker=tmp_path / "marker"))
    bundle = written(BundleSource(card, brain_source().files, 2), tmp_path / "bundle")

    told = parser_of(bundle).get_parsed_content("_meta_")

    assert not (tmp_path / "marker").exists()
    assert told["intended_use"].split()[0].startswith(card.intended_use.purpose.split()[0][:4].replace("#", "::"))


@pytest.mark.slow
def test_every_property_of_an_inference_bundle_is_there(tmp_path: Path) -> None:
    """As ``monai.bundle.ConfigWorkflow`` asks for them; the evaluator itself needs pytorch-ignite."""
    parser = parser_of(written(brain_source(), tmp_path / "bundle"))
    with monai_quiet():
        from monai.bundle.properties import InferProperties, MetaProperties
        from monai.utils.enums import BundleProperty, BundlePropertyConfig

        needed = {**InferProperties, **MetaProperties}
        lacking = [
            name
            for name, told in needed.items()
            if told[BundleProperty.REQUIRED] and told[BundlePropertyConfig.ID] not in parser
        ]
    assert lacking == []


def test_a_head_alone_is_told(tmp_path: Path) -> None:
    card = made_card(heads=(head("softmax"),), segmented=False)

    document = inference_config(card, ["net.onnx"], 2).document

    assert [each["_target_"] for each in document["postprocessing"]["transforms"]] == ["Activationsd"]
    assert metadata(card, 2)["network_data_format"]["outputs"]["pred"]["type"] == "probabilities"


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelCard, dict[str, Path]]:
    """A small UNet out of a bundle, with its trainable form."""
    folder = tmp_path_factory.mktemp("imported")
    with monai_quiet():
        read = importer().read(write_source(folder / "bundle", trained(folder, steps=2)), folder)
    draft, card = folder / "draft.yaml", folder / "card.yaml"
    draft.write_text(json.dumps({**card_document(read_card(BRAIN / "card.yaml")), **read.card}))
    return read_card(completed(draft, card)), dict(read.files)


@pytest.mark.slow
def test_a_bundle_comes_back_as_the_model_that_it_was_made_of(
    imported: tuple[ModelCard, dict[str, Path]], tmp_path: Path
) -> None:
    card, files = imported
    bundle = written(BundleSource(card, files, 3), tmp_path / "bundle")
    (tmp_path / "again").mkdir()

    with monai_quiet():
        read = importer().read(bundle, tmp_path / "again")
    again = card_of_document({**card_document(card), **_filled(card, read.card)}, "test")

    assert unsaid_in_bundle(BundleSource(card, files, 3)) == ()
    assert "was not compared here with the ONNX" in (bundle / "docs" / "README.md").read_text()
    assert again.preprocessing == card.preprocessing
    assert again.network == card.network
    assert again.segmentation == card.segmentation
    assert again.postprocessing == card.postprocessing
    weights = next(name for name in files if name.endswith(".safetensors"))
    assert read.files[weights].read_bytes() == files[weights].read_bytes()


def _filled(card: ModelCard, said: Any) -> dict[str, Any]:
    """What the importer says of a card, with the words that it does not say taken from ``card``."""
    document = {name: dict(said)[name] for name in ("preprocessing", "postprocessing", "network", "segmentation")}
    assert card.segmentation is not None
    segments = zip(
        card.segmentation.model_dump(mode="json")["segments"], document["segmentation"]["segments"], strict=True
    )
    document["segmentation"] = {**document["segmentation"], "segments": [{**old, **new} for old, new in segments]}
    return document


HARMFUL = (
    {"act": "$__import__('os').system('true')"},
    {"norm": ["batch", {"_target_": "os.system", "command": "true"}]},
    {"act": "@network"},
    {"act": "%/etc/passwd"},
    {"_target_": "os.system"},
    {"channels": [[[[[[8]]]]]]},
    {"dropout": float("nan")},
)


@pytest.mark.parametrize("arguments", HARMFUL, ids=str)
def test_an_architecture_brings_no_expression_along(arguments: dict[str, Any], tmp_path: Path) -> None:
    card = made_card(network={"trainable": ["net.safetensors", "net.json"]})
    described = tmp_path / "net.json"
    described.write_text(json.dumps({"architecture": "UNet", "arguments": arguments}))
    source = BundleSource(
        card, {"net.onnx": tmp_path / "n", "net.safetensors": tmp_path / "w", "net.json": described}, 2
    )

    assert any("not plain" in sentence for sentence in unsaid_in_bundle(source))


def test_an_architecture_that_is_not_listed_is_not_built(tmp_path: Path) -> None:
    card = made_card(network={"trainable": ["net.safetensors", "net.json"]})
    described = tmp_path / "net.json"
    described.write_text(json.dumps({"architecture": "os.system", "arguments": {"command": "true"}}))
    source = BundleSource(
        card, {"net.onnx": tmp_path / "n", "net.safetensors": tmp_path / "w", "net.json": described}, 2
    )

    assert any("is not one that is built here" in sentence for sentence in unsaid_in_bundle(source))
