"""Readers of segmentations that share no code with the writer: dcmqi with SimpleITK, and highdicom's own reader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

Centroid = npt.NDArray[np.float64]


def dcmqi_centroids(path: Path, folder: Path) -> dict[str, Centroid]:
    """Segment Label -> physical centroid (LPS, mm) as dcmqi's segimage2itkimage places it."""
    tool = Path(sys.executable).parent / "segimage2itkimage"
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(tool), "--inputDICOM", str(path), "--outputDirectory", str(folder), "--outputType", "nrrd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    meta = json.loads((folder / "meta.json").read_text())
    found: dict[str, Centroid] = {}
    for index, group in enumerate(meta["segmentAttributes"], start=1):
        image = sitk.ReadImage(str(folder / f"{index}.nrrd"))
        for described in group:
            centroid = _centroid(image, described["labelID"])
            if centroid is not None:
                found[described["SegmentLabel"]] = centroid
    return found


def _centroid(image: Any, label: int) -> Centroid | None:
    places = np.argwhere(sitk.GetArrayViewFromImage(image) == label)
    if not len(places):
        return None
    index = places.mean(axis=0)[::-1]
    direction = np.array(image.GetDirection()).reshape(3, 3)
    placed: Centroid = np.array(image.GetOrigin()) + direction @ (index * np.array(image.GetSpacing()))
    return placed


def segread_masks(path: Path, source_uids: list[str], segment_count: int) -> npt.NDArray[np.generic]:
    """Values (slice, row, column, segment) as highdicom reads them for these source instances."""
    read = hd.seg.segread(path)
    masks: npt.NDArray[np.generic] = read.get_pixels_by_source_instance(
        source_uids,
        segment_numbers=list(range(1, segment_count + 1)),
        assert_missing_frames_are_empty=True,
        rescale_fractional=True,
    )
    return masks
