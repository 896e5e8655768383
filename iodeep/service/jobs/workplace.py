"""A job's own folder: what its steps gave, so that a step that was done is not done again. It may vanish: then it is made again.

A file gets its name once it is whole. Nothing here is pickled.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from iodeep.prediction import Classification, ClassProbability, Prediction, Segmentation
from iodeep.terms import Code

_ARRAYS = ("labels", "masks", "probabilities")


class Workplace:
    """``work/JOB_ID`` in the data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def results(self) -> Path:
        """Where the results lie until they are confirmed."""
        return self.folder / "results"

    def made(self) -> Path:
        """The folder, made where it isn't there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder

    def result_files(self, uids: tuple[str, ...]) -> tuple[Path, ...] | None:
        """The files of these results, None where one is missing."""
        files = tuple(self.results / f"{uid}.dcm" for uid in uids)
        return files if all(file.is_file() for file in files) else None

    def keep_prediction(self, prediction: Prediction) -> None:
        """Write down what the network said."""
        arrays = {name: getattr(prediction.segmentation, name, None) for name in _ARRAYS}
        present = {name: array for name, array in arrays.items() if array is not None}
        for name, array in present.items():
            self._write(f"prediction-{name}.npy", array)
        document = {
            "segments": prediction.segmentation.segment_count if prediction.segmentation else None,
            "arrays": list(present),
            "classifications": [asdict(each) for each in prediction.classifications],
            "seconds": prediction.seconds,
            "engine": prediction.engine,
        }
        partial = self.made() / "prediction.partial"
        partial.write_text(json.dumps(document), encoding="utf-8")
        partial.replace(self.folder / "prediction.json")

    def prediction(self) -> Prediction | None:
        """What the network said, None where that is not known."""
        path = self.folder / "prediction.json"
        if not path.is_file():
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
        arrays = {name: np.load(self.folder / f"prediction-{name}.npy") for name in document["arrays"]}
        count = document["segments"]
        return Prediction(
            None if count is None else Segmentation(count, **arrays),
            tuple(map(_classification, document["classifications"])),
            document["seconds"],
            document["engine"],
        )

    def clear(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, array: np.ndarray[Any, Any]) -> None:
        partial = self.made() / f"{name}.partial"
        with partial.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        partial.replace(self.folder / name)


def _classification(document: dict[str, Any]) -> Classification:
    classes = (
        ClassProbability(Code(**each["code"]), each["probability"], each["present"]) for each in document["classes"]
    )
    return Classification(document["name"], Code(**document["finding"]), tuple(classes))
