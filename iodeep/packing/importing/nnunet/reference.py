"""nnU-Net's own prediction: its preprocessing, its predictor with the weights that were read safely, its way back.

Images are turned to where the training images lay by nibabel, not by what the card's steps use, so that a wrong orientation
shows. nnU-Net never opens a file here: networks, weights and images are handed to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from iodeep.errors import InputError
from iodeep.packing.importing.nnunet.model import Model
from iodeep.packing.importing.reference import ReferenceImage, ReferencePrediction

Array = npt.NDArray[Any]
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def predicted(model: Model, images: Sequence[ReferenceImage], card: Mapping[str, Any]) -> ReferencePrediction:
    """One mask a segment on the images' grid, by the segment's channel in the card."""
    letters = _stored_axes(model, card)
    turned = [_Turned(image.voxels, image.affine, letters) for image in images]
    lengths = np.linalg.norm(images[0].affine[:3, :3], axis=0)
    spacing = [float(np.float32(lengths[axis])) for axis in turned[0].order]
    found = _segmentation(model, np.stack([each.voxels for each in turned]), spacing)
    labels = turned[0].back(found)
    masks = {}
    for place, members in enumerate(model.labels.members):
        masks[place if model.labels.painted else place + 1] = np.isin(labels, sorted(members))
    return ReferencePrediction(masks)


def _stored_axes(model: Model, card: Mapping[str, Any]) -> str:
    """Where slice, row and column of the training images grew to: the card's ``orient`` without the plans' transposition."""
    axes = next((step.get("axes") for step in card["preprocessing"] if step["step"] == "orient"), None)
    if not isinstance(axes, str):
        raise InputError("the card does not say where the axes of the training images grew to: preprocessing.0.axes")
    letters = [""] * 3
    for place, axis in enumerate(model.plan.transpose):
        letters[axis] = axes[place]
    return "".join(letters)


class _Turned:
    """Voxels turned to other axes, and the way back."""

    def __init__(self, voxels: Array, affine: Array, letters: str) -> None:
        import nibabel

        turn: Any = nibabel.orientations  # has no types
        here, there = turn.io_orientation(_TO_RAS @ affine), turn.axcodes2ornt(tuple(letters))
        way = turn.ornt_transform(here, there)
        self._turn = turn
        self._back = turn.ornt_transform(there, here)
        self.voxels = np.ascontiguousarray(turn.apply_orientation(voxels, way), dtype=np.float32)
        self.order = [int(np.flatnonzero(way[:, 0] == axis)[0]) for axis in range(3)]
        """The source's axis that each axis runs along."""

    def back(self, voxels: Array) -> Array:
        return np.ascontiguousarray(self._turn.apply_orientation(voxels, self._back))


def _segmentation(model: Model, voxels: Array, spacing: list[float]) -> Array:
    """Label values, as nnUNetv2_predict gives them on the CPU: Gaussian windows half a patch apart, mirrored, all folds."""
    import torch
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, dataset = PlansManager(dict(model.plan.document)), dict(model.dataset)
    configuration = plans.get_configuration(model.plan.name)
    properties: dict[str, Any] = {"spacing": spacing}
    data, _, properties = DefaultPreprocessor(verbose=False).run_case_npy(
        voxels, None, properties, plans, configuration, dataset
    )
    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=True,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.manual_initialization(
        model.network(0),
        plans,
        configuration,
        [dict(checkpoint.weights) for checkpoint in model.checkpoints],
        dataset,
        model.checkpoints[0].trainer,
        model.checkpoints[0].mirror_axes or None,
    )
    logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(np.ascontiguousarray(data, np.float32)))
    found: Array = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits.cpu(), plans, configuration, predictor.label_manager, properties
    )
    return found
