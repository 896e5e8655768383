"""What others say about a DICOM file: dciodvfy, and the PS3.3 module tables that highdicom carries.

Both give sentences on what is wrong, so ``assert not dciodvfy_errors(path)`` shows them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom.dataset import Dataset

_MODULES_OF_CHOICES = ("functional-groups", "sr-document-content")
"""Their tables hold every macro that may be chosen, and don't say which one was."""


def dciodvfy_errors(path: Path) -> list[str]:
    """Lines that dciodvfy (dicom3tools) calls errors. Skips the test where it isn't installed, but fails it on CI."""
    if shutil.which("dciodvfy") is None:
        if os.environ.get("CI"):
            pytest.fail("dciodvfy is not installed: apt-get install dicom3tools")
        pytest.skip("dciodvfy is not installed")
    result = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False, timeout=60)
    lines = (result.stdout + result.stderr).splitlines()
    errors = [line for line in lines if line.startswith("Error")]
    if result.returncode != 0 and not errors:
        return [f"dciodvfy ended with {result.returncode}: {lines[-1] if lines else 'no output'}"]
    return errors


def missing_attributes(dataset: Dataset) -> list[str]:
    """Type 1 attributes that are absent or empty and Type 2 that are absent, of the IOD's mandatory modules (PS3.3).

    Inside a sequence they are asked for in every item of it. Functional groups and the content of reports are left to
    dciodvfy.
    """
    iod = get_sop_class_iod_map()[dataset.SOPClassUID]
    modules = [
        module["key"]
        for module in get_iod_module_map()[iod]
        if module["usage"] == "M" and not any(name in module["key"] for name in _MODULES_OF_CHOICES)
    ]
    return sorted({problem for module in modules for problem in _missing_of_module(dataset, module)})


def _missing_of_module(dataset: Dataset, module: str) -> Iterator[str]:
    for attribute in get_module_attribute_map()[module]:
        keyword, kind, path = attribute["keyword"], attribute["type"], attribute["path"]
        if kind not in ("1", "2"):
            continue
        for item in _items(dataset, path):
            absent = keyword not in item
            if absent or (kind == "1" and _empty(item, keyword)):
                yield f"{'.'.join((*path, keyword))} (Type {kind}, {module}) is {'absent' if absent else 'empty'}"


def _items(dataset: Dataset, path: Iterable[str]) -> list[Dataset]:
    found = [dataset]
    for keyword in path:
        found = [item for holder in found for item in (holder.get(keyword) or [])]
    return found


def _empty(item: Dataset, keyword: str) -> bool:
    value = item[keyword].value
    return value is None or (hasattr(value, "__len__") and len(value) == 0)
