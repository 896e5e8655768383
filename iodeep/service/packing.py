"""A network and a card become a model object: structure checked, self-test recorded, written, read back.

The self-test's input is a small version of a real series where one is given, and a phantom otherwise; its expected
output is what the network makes of it here, through the same pipeline that a site will use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iodeep.card import ModelCard
from iodeep.errors import InputError, IntegrityError, IODeepError
from iodeep.inference import Engine, check_network
from iodeep.model_object import DEFAULT_PART_SIZE, ExpectedClass, PackedModel, SelfTest, pack_model, read_descriptor
from iodeep.packing import payload_files
from iodeep.ports import ProgressSink, no_progress
from iodeep.prediction import Prediction
from iodeep.service.privacy import check_privacy
from iodeep.service.subjects import local_series
from iodeep.trust import verify_object
from iodeep.volume import SeriesFiles, Volume, open_series

SELF_TEST_VOXELS = 64
"""Longest edge of a self-test's input, so that a descriptor stays within a few hundred KB."""


@dataclass(frozen=True)
class PackedAndChecked:
    """A packed model with what its self-test recorded."""

    model: PackedModel
    self_test: SelfTest
    engine: str


def pack_network(
    network: Path,
    card: ModelCard,
    out: Path,
    engine: Engine,
    *,
    self_test_series: Path | None = None,
    part_size: int = DEFAULT_PART_SIZE,
    despite_privacy: str | None = None,
    imported: str | None = None,
    progress: ProgressSink = no_progress,
) -> PackedAndChecked:
    """Pack, and prove that what was written can be read back and verified.

    ``despite_privacy``: why the object may carry what looks like a patient's data; recorded in it where something does.
    ``imported``: of what source the network is, and how near its result is to that source's own; recorded too.
    """
    files = payload_files(network, card)
    for name in card.network.files:
        check_network(files[name], card, folder=files[name].parent)
    series = _series(card, self_test_series)
    packed_despite = check_privacy(card, files, series.headers if series else (), despite_privacy)
    inputs = _inputs(card, series)
    prediction = engine.run(card, files, inputs, progress=progress)
    self_test = _recorded(inputs, prediction)
    model = pack_model(
        card,
        files,
        out,
        part_size=part_size,
        self_test=self_test,
        packed_despite=packed_despite,
        imported=imported,
        progress=progress,
    )
    try:
        _read_back(model, out, progress)
    except IODeepError:
        for path in model.files:
            path.unlink(missing_ok=True)
        raise
    return PackedAndChecked(model, self_test, prediction.engine)


def _read_back(model: PackedModel, out: Path, progress: ProgressSink) -> None:
    report = verify_object(model.descriptor, model.parts, progress=progress)
    if not report.holds:
        raise IntegrityError(f"the object in {out} could not be read back: {' '.join(report.sentences)}")
    read_descriptor(model.descriptor)


def _inputs(card: ModelCard, series: SeriesFiles | None) -> dict[str, Volume]:
    """The self-test's inputs: voxels and an affine, and nothing else of the series."""
    if series is None:
        return {asked.name: phantom(asked.modality) for asked in card.inputs}
    return {card.inputs[0].name: small_version(open_series(series).read_volume())}


def _series(card: ModelCard, series: Path | None) -> SeriesFiles | None:
    if series is None:
        return None
    if len(card.inputs) > 1:
        raise InputError(
            f"{card.name} needs {len(card.inputs)} series; a self-test out of one is not possible",
            remedy="Leave --self-test out: a phantom is used for each input.",
        )
    found = local_series(series)
    if len(found) > 1:
        raise InputError(f"{series} holds {len(found)} series", expected="one, for the self-test")
    return found[0]


def small_version(volume: Volume) -> Volume:
    """Every n-th voxel, so that no edge is longer than 64; the affine follows."""
    steps = [-(-size // SELF_TEST_VOXELS) for size in volume.voxels.shape]
    voxels = np.ascontiguousarray(volume.voxels[:: steps[0], :: steps[1], :: steps[2]])
    affine = volume.affine.copy()
    affine[:3, :3] *= steps
    return Volume(voxels, affine)


def phantom(modality: str) -> Volume:
    """A head-like body of nested ellipsoids with a lesion, 32 x 64 x 64 voxels of 5 x 3 x 3 mm; HU in CT.

    Asymmetric along every axis, so that a flipped or permuted axis gives another result.
    """
    air, skin, inside, core, lesion = (-1000, 60, 40, 10, 90) if modality == "CT" else (0, 300, 700, 1000, 1500)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in (32, 64, 64)), indexing="ij")
    voxels = np.full(z.shape, air, np.int16)
    for radius, value in ((0.85, skin), (0.75, inside), (0.4, core)):
        voxels[(z / 0.95) ** 2 + (y + 0.05) ** 2 + ((x - 0.08) / 0.85) ** 2 < radius**2] = value
    voxels[(z - 0.2) ** 2 + (y + 0.3) ** 2 + (x - 0.35) ** 2 < 0.02] = lesion
    affine = np.array([[0, 0, 3, -94.5], [0, 3, 0, -94.5], [5, 0, 0, -77.5], [0, 0, 0, 1]], dtype=np.float64)
    return Volume(voxels, affine)


def _recorded(inputs: Mapping[str, Volume], prediction: Prediction) -> SelfTest:
    segmentation = prediction.segmentation
    return SelfTest(
        inputs=inputs,
        labels=segmentation.labels if segmentation else None,
        masks=segmentation.masks if segmentation else None,
        classes=tuple(
            ExpectedClass(head.name, each.code, each.probability)
            for head in prediction.classifications
            for each in head.classes
        ),
    )
