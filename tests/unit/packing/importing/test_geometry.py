"""Where a network sees an image is right, and not only alike on both sides of a comparison."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from iodeep.card import Orient, read_card
from iodeep.inference import run_in_process
from iodeep.inference.image import Image, SourceAxis
from iodeep.inference.preprocessing import oriented
from iodeep.packing.importing import ReferenceImage, SourceKind, compared, importer_of
from iodeep.packing.importing.nnunet.drafting import axes_of
from iodeep.packing.importing.nnunet.plans import READERS
from iodeep.packing.importing.nnunet.reference import _Turned
from iodeep.service.importing.cards import drafted
from iodeep.service.subjects import local_series
from iodeep.volume import Volume, open_series
from tests.geometries import as_it_was, sagittal_and_oblique
from tests.sources import BEFORE, HEAD, Trained, completed, write_bundle

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MONAI and nnunetv2 warn of themselves


def image() -> tuple[Any, Any]:
    """No two of its voxels are alike, nor two of its axes."""
    affine = np.array([[0, 0, 1.5, -20], [0, 2.5, 0, -30], [4.0, 0, 0, 10], [0, 0, 0, 1]])
    return np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5), affine


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("stored", ["RAS", "LPS", "LAS", "PIR"])
def test_nnunets_own_readers_lay_a_file_as_the_card_and_the_reference_do(
    reader: str, stored: str, tmp_path: Path
) -> None:
    """The answer to how images were stored means the same to whoever answers, to nnU-Net and to both sides of the comparison."""
    os.environ.setdefault("nnUNet_n_proc_DA", "1")  # else nnunetv2 runs a program
    import nibabel
    from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name

    library: Any = nibabel  # has no types
    voxels, affine = sagittal_and_oblique(*image())
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    turn = library.orientations
    way = turn.ornt_transform(turn.io_orientation(to_ras), turn.axcodes2ornt(tuple(stored)))
    written = library.Nifti1Image(voxels, to_ras).as_reoriented(way)
    assert "".join(library.aff2axcodes(written.affine)) == stored
    library.save(written, tmp_path / "image.nii.gz")

    read, _ = recursive_find_reader_writer_by_name(reader)().read_images([str(tmp_path / "image.nii.gz")])
    axes = axes_of((READERS[reader] or stored[::-1])[::-1], (0, 1, 2))
    np.testing.assert_array_equal(_Turned(voxels, affine, axes).voxels, read[0])
    count = [SourceAxis.whole(axis, size) for axis, size in enumerate(voxels.shape)]
    ours = Image(voxels[None], (count[0], count[1], count[2]), voxels.shape, affine)
    np.testing.assert_array_equal(oriented(ours, Orient(step="orient", axes=axes)).voxels, read)


@pytest.mark.parametrize("axes", ["RAS", "PIR"])
def test_a_bundle_finds_the_same_in_a_patient_however_the_series_was_taken(
    axes: str, tmp_path: Path, weights: Trained
) -> None:
    before = [each | ({"axcodes": axes} if each["_target_"] == "Orientationd" else {}) for each in BEFORE]
    bundle = write_bundle(tmp_path / "bundle", weights, before=before)
    (tmp_path / "out").mkdir()
    importer = importer_of(SourceKind.MONAI_BUNDLE)
    found = importer.read(bundle, tmp_path / "out")
    (tmp_path / "begun.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(drafted(found)))))
    card = read_card(completed(tmp_path / "begun.yaml", tmp_path / "card.yaml"))
    series = open_series(local_series(HEAD)[0]).read_volume()
    axial = np.asarray(series.voxels, np.float32)[:, ::4, ::4], series.affine @ np.diag([1, 4, 4, 1])

    masks = []
    for voxels, affine in (axial, sagittal_and_oblique(*axial)):
        images = [ReferenceImage("image", voxels, affine)]
        theirs = importer.predict(bundle, images, card.model_dump(mode="json"), tmp_path / "out")
        ours = run_in_process(card, found.files, {"image": Volume(voxels, affine)}, threads=1)
        assert not compared(card, ours, theirs).empty
        masks.append(theirs.masks)
    for channel, mask in masks[0].items():
        np.testing.assert_array_equal(as_it_was(masks[1][channel]), mask)
