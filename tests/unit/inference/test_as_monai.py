"""Where a card says what MONAI does, the voxels are MONAI's."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iodeep.card import ModelCard, PadToMultiple, PadToSize, ResampleSpacing, ZScore
from iodeep.errors import CardError, InputError
from iodeep.inference.image import Floats, Image, Scan
from iodeep.inference.inputs import channels_of
from iodeep.inference.placing import probabilities_on_source
from iodeep.inference.preprocessing import preprocessed
from tests.unit.inference.helpers import card, noise

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of readers that are not installed
    monai: Any = import_module("monai.transforms")
    MetaTensor: Any = import_module("monai.data").MetaTensor

LENGTHS = st.tuples(*[st.integers(2, 12)] * 3)
SPACINGS = st.tuples(*[st.floats(0.4, 3.0)] * 3)


def image(voxels: npt.NDArray[np.float32], spacing: tuple[float, ...]) -> tuple[Image, Any]:
    """The same image for us and for MONAI, whose first axis is our first."""
    affine = np.diag([*spacing, 1.0])
    model: ModelCard = card()
    theirs = MetaTensor(voxels[None].copy(), affine=affine)
    return channels_of(model, {"image": Scan(voxels.copy(), affine)}), theirs


def array(found: Any) -> Floats:
    values: Floats = np.asarray(found, np.float32)
    return values


@settings(deadline=None, max_examples=60)
@given(LENGTHS, SPACINGS, SPACINGS)
def test_spacing_between_centres_is_monais(
    shape: tuple[int, int, int], spacing: tuple[float, ...], wanted: tuple[float, ...]
) -> None:
    ours, theirs = image(noise(shape), spacing)
    step = ResampleSpacing(step="resample_spacing", mm=(wanted[0], wanted[1], wanted[2]), grid="centres")
    spacer = monai.Spacing(pixdim=wanted, mode="bilinear")
    expected = spacer(theirs)
    found = preprocessed(ours, [step])
    assert found.voxels.shape == expected.shape
    np.testing.assert_allclose(found.voxels, array(expected), atol=2e-3)  # MONAI leaves a change below 1e-3 mm undone
    back = array(spacer.inverse(expected))
    np.testing.assert_allclose(probabilities_on_source(found.voxels[0], found), back[0], atol=4e-3)


@settings(deadline=None, max_examples=40)
@given(LENGTHS, st.integers(1, 8), st.tuples(*[st.integers(1, 16)] * 3))
def test_padding_on_both_sides_is_monais(
    shape: tuple[int, int, int], multiple: int, size: tuple[int, int, int]
) -> None:
    ours, theirs = image(noise(shape), (1, 1, 1))
    for step, transform in (
        (PadToMultiple(step="pad_to_multiple", multiple=multiple, sides="both"), monai.DivisiblePad(k=multiple)),
        (PadToSize(step="pad_to_size", shape=size), monai.SpatialPad(spatial_size=size)),
    ):
        found = preprocessed(ours, [step])
        np.testing.assert_array_equal(found.voxels, array(transform(theirs)))
        np.testing.assert_array_equal(probabilities_on_source(found.voxels[0], found), ours.voxels[0])


def test_what_is_not_zero_is_normalised_and_zeros_stay() -> None:
    voxels = noise((6, 7, 8))
    voxels[:3] = 0
    ours, theirs = image(voxels, (1, 1, 1))
    found = preprocessed(ours, [ZScore(step="z_score", mask="nonzero")]).voxels
    np.testing.assert_allclose(found, array(monai.NormalizeIntensity(nonzero=True)(theirs)), atol=1e-5)
    assert not found[0, :3].any()


def test_centres_are_not_for_splines() -> None:
    with pytest.raises((CardError, ValueError, InputError), match="centres"):
        ResampleSpacing.model_validate(
            {"step": "resample_spacing", "mm": (1, 1, 1), "grid": "centres", "interpolation": "cubic"}
        )
