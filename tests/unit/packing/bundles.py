"""What MONAI itself makes of a bundle that was written, on the voxels of the first series."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@contextmanager
def monai_quiet() -> Iterator[Any]:
    """``monai.bundle`` with its own warnings left aside: deprecated arguments of its own, readers that are not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import monai.bundle

        yield monai.bundle


def parser_of(bundle: Path) -> Any:
    """The configuration and metadata of a bundle as MONAI reads them; nothing is evaluated yet."""
    with monai_quiet() as monai:
        parser = monai.ConfigParser()
        parser.read_config(bundle / "configs" / "inference.json")
        parser.read_meta(bundle / "configs" / "metadata.json")
        parser["bundle_root"] = str(bundle)
        return parser


def masks_by_monai(bundle: Path, series: Mapping[str, Path]) -> npt.NDArray[Any]:
    """(channel, slice, row, column) as the bundle's pre- and postprocessing, network and inferer give it; nothing is saved.

    Of axial series as :mod:`tests.synthetic` writes them, whose slices, rows and columns MONAI reads as its axes 2, 1 and 0.
    """
    parser = parser_of(bundle)
    assert parser["postprocessing"]["transforms"].pop()["_target_"] == "SaveImaged"
    with monai_quiet():
        import torch

        parts = ("preprocessing", "network", "inferer", "postprocessing")
        before, network, inferer, after = map(parser.get_parsed_content, parts)
        item = before({key: str(path) for key, path in series.items()})
        with torch.no_grad():
            item["pred"] = inferer(item["image"][None], network)[0]
        found = after(item)["pred"].numpy()
    return np.ascontiguousarray(found.transpose(0, 3, 2, 1))


def dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Of two masks that are not both empty."""
    together = int(one.sum()) + int(other.sum())
    assert together
    return 2 * int((one & other).sum()) / together
