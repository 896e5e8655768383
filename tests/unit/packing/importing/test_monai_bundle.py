"""A bundle's configuration is read as data: what a card can say is said, and everything else refused by its name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from iodeep.errors import InputError
from iodeep.packing.importing.monai_bundle.bundle import Bundle, read_bundle
from iodeep.packing.importing.monai_bundle.inferers import inference_of
from iodeep.packing.importing.monai_bundle.postprocessing import decoding_of
from iodeep.packing.importing.monai_bundle.preprocessing import Steps, steps_of
from tests.sources import ARCHITECTURE, METADATA, ORIENTED, Trained, write_bundle


@pytest.fixture
def nothing(tmp_path: Path) -> Trained:
    """Weights that nobody looks at."""
    (tmp_path / "model.pt").write_bytes(b"weights")
    return Trained(tmp_path)


def transform(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": name, "keys": "image", **arguments}


def steps(bundle: Path, channels: int = 1) -> Steps:
    return steps_of(read_bundle(bundle).preprocessing, channels)


def of(nothing: Trained, folder: Path, **parts: Any) -> Bundle:
    return read_bundle(write_bundle(folder, nothing, **parts))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (transform("ScaleIntensityRanged", a_min=-100, a_max=300, b_min=0.0, b_max=1.0, clip=True),
         [{"step": "window", "center": 100.0, "width": 400.0}]),
        (transform("ScaleIntensityRanged", a_min=0, a_max=4, b_min=-1, b_max=1, clip=True),
         [{"step": "scale_shift", "scale": 0.5, "shift": -1.0}, {"step": "clip", "low": -1.0, "high": 1.0}]),
        (transform("ScaleIntensityRangePercentilesd", lower=1, upper=99, b_min=0, b_max=1, clip=True),
         [{"step": "clip_percentiles", "lower": 1.0, "upper": 99.0}, {"step": "scale_range", "low": 0.0, "high": 1.0}]),
        (transform("ScaleIntensityd", minv=-1), [{"step": "scale_range", "low": -1.0, "high": 1.0}]),
        (transform("NormalizeIntensityD", nonzero=False), [{"step": "z_score"}]),
        (transform("monai.transforms.CropForegroundDict", source_key="image"), [{"step": "crop_foreground", "above": 0.0, "margin": 0}]),
        (transform("Resized", spatial_size=[8, 9, 10], mode="trilinear"), [{"step": "resize", "shape": [8, 9, 10], "interpolation": "linear"}]),
        (transform("SpatialPadd", spatial_size=32), [{"step": "pad_to_size", "shape": [32, 32, 32], "value": 0.0}]),
        (transform("DivisiblePadd", k=16), [{"step": "pad_to_multiple", "multiple": 16, "value": 0.0, "sides": "both"}]),
        (transform("CastToTyped", dtype="torch.float32"), []),
        (transform("Spacingd", keys=["image", "label"], pixdim=[1, 1, -1], mode="nearest", dtype="float64"),
         [{"step": "resample_spacing", "mm": [1.0, 1.0, None], "interpolation": "nearest", "grid": "centres"}]),
    ],
)  # fmt: skip
def test_a_transform_is_said_in_the_cards_words(
    tmp_path: Path, nothing: Trained, given: dict[str, Any], expected: Steps
) -> None:
    bundle = of(nothing, tmp_path / "bundle", before=[*ORIENTED, given])
    assert steps_of(bundle.preprocessing, 1) == [{"step": "orient", "axes": "RAS"}, *expected]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (transform("RandFlipd", prob=1), "RandFlipd"),
        (transform("Lambdad", func="$lambda x: x"), r"the expression '\$lambda x: x'"),
        (transform("ScaleIntensityd", minv="$__import__('os').system('touch /tmp/x')"), "__import__"),
        (transform("os.system", command="touch /tmp/x"), r"os\.system"),
        (transform("somebody.transforms.Spacingd", pixdim=1), r"somebody\.transforms\.Spacingd"),
        (transform("Spacingd", pixdim=[1, 1, 1], padding_mode="zeros"), "padding_mode = 'zeros'"),
        (transform("Spacingd", pixdim=[1, 1, 1], mode=3), "mode = 3"),
        (transform("Resized", spatial_size=[8, 8, 8]), "mode = 'area'"),
        (transform("CropForegroundd", source_key="image", select_fn="@bundle_root"), "select_fn"),
        (transform("NormalizeIntensityd", odd=1), "odd = 1"),
        (transform("ScaleIntensityRangePercentilesd", lower=1, upper=99, b_min=0, b_max=1), "clip = False"),
        (transform("ScaleIntensityRanged", a_min=0, a_max=4, clip=True), "clip = True"),
        (transform("ScaleIntensityd", keys="label"), "keys = 'label'"),
        (transform("ScaleIntensityd", keys=["label", "mask"]), "keys = "),
        (transform("CastToTyped", dtype="int16"), "dtype = 'int16'"),
        (transform("EnsureTyped", keys=["image"], dtype=["torch.uint8"]), r"dtype = 'torch\.uint8'"),
        (transform("ScaleIntensityd", dtype="float16"), "dtype = 'float16'"),
    ],
)
def test_what_a_card_cannot_say_is_refused_by_name(
    tmp_path: Path, nothing: Trained, given: dict[str, Any], named: str
) -> None:
    bundle = write_bundle(tmp_path / "bundle", nothing, before=[*ORIENTED, given])
    with pytest.raises(InputError, match=named) as refused:
        steps(bundle)
    assert refused.value.remedy or refused.value.expected


def test_an_image_without_an_orientation_is_not_guessed_at(tmp_path: Path, nothing: Trained) -> None:
    with pytest.raises(InputError, match="orientation"):
        steps(write_bundle(tmp_path / "bundle", nothing, before=ORIENTED[:2]))


def test_several_channels_have_to_be_measured_each_on_its_own(tmp_path: Path, nothing: Trained) -> None:
    bundle = write_bundle(tmp_path / "bundle", nothing, before=[*ORIENTED, transform("ScaleIntensityd")])
    assert steps(bundle, 1)
    with pytest.raises(InputError, match="channel_wise"):
        steps(bundle, 2)


def decoding(tmp_path: Path, nothing: Trained, *after: dict[str, Any]) -> dict[str, Any]:
    return decoding_of(of(nothing, tmp_path / "bundle", after=after).postprocessing).said()


def told(name: str, **arguments: Any) -> dict[str, Any]:
    return transform(name, **{"keys": "pred", **arguments})


SOFTMAX, ARGMAX = told("Activationsd", softmax=True), told("AsDiscreted", argmax=True)
BACK = told("Invertd", transform="@preprocessing", orig_keys="image", nearest_interp=False)
BACK_NEAREST = {**BACK, "nearest_interp": True}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((SOFTMAX, BACK, ARGMAX), {"activation": "softmax", "activate": "mean", "restoration": {"interpolation": "linear"}}),
        ((BACK, SOFTMAX, ARGMAX), {"activate": "restored", "restoration": {"interpolation": "linear"}}),
        ((SOFTMAX, ARGMAX, BACK_NEAREST), {"decode": "argmax", "restoration": None}),
        ((told("Activationsd", sigmoid=True), told("AsDiscreted", threshold=0.4)),
         {"activation": "sigmoid", "decode": "threshold", "threshold": 0.4}),
    ],
)  # fmt: skip
def test_where_values_become_labels_is_told_by_the_order(
    tmp_path: Path, nothing: Trained, after: tuple[dict[str, Any], ...], expected: dict[str, Any]
) -> None:
    said = decoding(tmp_path, nothing, *after)
    assert said | expected == said


@pytest.mark.parametrize(
    "after",
    [
        (SOFTMAX, BACK_NEAREST, ARGMAX),
        (SOFTMAX, ARGMAX, BACK),
        (ARGMAX, SOFTMAX),
        (SOFTMAX, SOFTMAX),
        (told("KeepLargestConnectedComponentd"), ARGMAX),
        (told("Activationsd", softmax=True, sigmoid=True), ARGMAX),
        (told("VoteEnsembled"),),
        (told("Activationsd", softmax=True, keys="label"), ARGMAX),
        (SOFTMAX, told("CastToTyped", dtype="int16"), ARGMAX),
    ],
)
def test_an_order_that_a_card_cannot_say_is_refused(
    tmp_path: Path, nothing: Trained, after: tuple[dict[str, Any], ...]
) -> None:
    with pytest.raises(InputError, match="card"):
        decoding(tmp_path, nothing, *after)


def test_the_window_is_monais(tmp_path: Path, nothing: Trained) -> None:
    said = inference_of(of(nothing, tmp_path / "bundle").inferer)
    assert said["inference"]["least_weight"] == 1e-3
    assert (said["inference"]["overlap"], said["batch_size"]) == (0.25, 2)
    with pytest.raises(InputError, match="SliceInferer"):
        inference_of(of(nothing, tmp_path / "other", inferer={"_target_": "SliceInferer"}).inferer)
    with pytest.raises(InputError, match="roi_size"):
        inference_of(
            of(nothing, tmp_path / "third", inferer={"_target_": "SlidingWindowInferer", "roi_size": -1}).inferer
        )


@pytest.mark.parametrize(
    "network",
    [
        {"_target_": "subprocess.Popen", "args": ["touch", "/tmp/x"]},
        {"_target_": "monai.networks.nets.FlexibleUNet", "pretrained": True},
        {"_target_": "monai.bundle.run"},
        {"_target_": "UNet", **ARCHITECTURE, "strides": "$__import__('os').system('touch /tmp/x')"},
        {"_target_": "UNet", **ARCHITECTURE, "act": {"_target_": "builtins.eval", "source": "1"}},
        {"_target_": "UNet", **ARCHITECTURE, "_mode_": "debug"},
        {"_target_": "UNet", **ARCHITECTURE, "strides": "@evaluator::nothing"},
        {"_target_": "UNet", **ARCHITECTURE, "strides": "%other.json::strides"},
    ],
)
def test_a_network_that_is_not_on_the_list_is_refused(
    tmp_path: Path, nothing: Trained, network: dict[str, Any]
) -> None:
    with pytest.raises(InputError):
        read_bundle(write_bundle(tmp_path / "bundle", nothing, network=network))


def test_arguments_that_a_network_does_not_have_are_refused(tmp_path: Path, nothing: Trained) -> None:
    bundle = of(nothing, tmp_path / "bundle", network={"_target_": "UNet", **ARCHITECTURE, "odd": 1})
    assert bundle.architecture
    with pytest.raises(InputError, match="'odd'"):
        bundle.architecture.built()


def test_a_reference_that_goes_in_a_circle_ends(tmp_path: Path, nothing: Trained) -> None:
    path = write_bundle(tmp_path / "bundle", nothing) / "configs" / "inference.json"
    document = json.loads(path.read_text())
    document["inferer"] = "@other"
    document["other"] = "@inferer"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="refers to itself"):
        read_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("configs/metadata.json", "metadata.json"),
        ("configs/inference.json", "configurations for inference"),
        ("models/model.pt", "no weights"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, nothing: Trained, missing: str, named: str) -> None:
    bundle = write_bundle(tmp_path / "bundle", nothing)
    (bundle / missing).unlink()
    with pytest.raises(InputError, match=named):
        read_bundle(bundle)


@pytest.mark.parametrize("part", ["network_def", "preprocessing", "inferer", "postprocessing"])
def test_a_missing_part_is_named(tmp_path: Path, nothing: Trained, part: str) -> None:
    path = write_bundle(tmp_path / "bundle", nothing) / "configs" / "inference.json"
    document = json.loads(path.read_text())
    del document[part]
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=part):
        read_bundle(tmp_path / "bundle")


def test_metadata_that_says_no_channels_is_refused(tmp_path: Path, nothing: Trained) -> None:
    metadata = copy.deepcopy(METADATA)
    del metadata["network_data_format"]["inputs"]["image"]["num_channels"]
    with pytest.raises(InputError, match="num_channels"):
        of(nothing, tmp_path / "bundle", metadata=metadata)


def test_yaml_says_the_same_as_json(tmp_path: Path, nothing: Trained) -> None:
    import yaml

    bundle = write_bundle(tmp_path / "bundle", nothing)
    path = bundle / "configs" / "inference.json"
    expected = steps(bundle)
    (bundle / "configs" / "inference.yaml").write_text(yaml.safe_dump(json.loads(path.read_text())))
    path.unlink()
    assert steps(bundle) == expected
