"""The sample network without IODeep: read by SimpleITK, run by ONNX Runtime, mask and volume out. Argument: the mask file."""

import os
import sys

import cc3d
import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
import SimpleITK as sitk

reader = sitk.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames("sample_data/mr-head"))
image = sitk.DICOMOrient(reader.Execute(), "LPS")  # ITK names where axes come from or go to differently: flipped below
voxels = sitk.GetArrayFromImage(image).astype(np.float32).transpose(2, 1, 0)[::-1, ::-1]  # x, y, z growing to R, A, S
where = [np.floor((np.arange(128) + 0.5) * size / 128).astype(int) for size in voxels.shape]  # torch's nearest-exact
small = voxels[np.ix_(*where)]
low, high = np.percentile(small, [0.5, 99.5])
small = ((small - low) / (high - low)).clip(0, 1)
small = 0.226 * (small - small.mean()) / small.std() + 0.449
session = onnxruntime.InferenceSession("sample_data/brain/brain-extraction.onnx")
brain = session.run(None, {"image": small[None, None].astype(np.float32)})[0][0, 1] > 0.5
brain = cc3d.largest_k(brain.astype(np.uint8), k=1) > 0
back = [np.floor((np.arange(size) + 0.5) * 128 / size).astype(int) for size in voxels.shape]
mask = brain[np.ix_(*back)][::-1, ::-1].transpose(2, 1, 0).astype(np.uint8)  # slices, rows, columns of the LPS image
result = sitk.GetImageFromArray(mask)
result.CopyInformation(image)
sitk.WriteImage(result, sys.argv[1])
print(f"{mask.sum() * np.prod(image.GetSpacing()) / 1000:.1f} ml")
