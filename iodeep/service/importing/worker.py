"""The process that reads a source: it gives up what it doesn't need, calls the importer, and writes what it found.

``python -m iodeep.service.importing.worker PARENT MEMORY THREADS FOLDER``. The folder holds ``request.json``, ``source`` and
``images`` to read and ``out`` to write, where ``result.json`` is the last thing that appears. Every library is imported after
the containment, so that nothing of what was handed over is looked at before.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iodeep.errors import InputError, IODeepError
from iodeep.inference import containment_kernel as kernel
from iodeep.inference.confinement import confine
from iodeep.inference.containment import LAYERS, Files, contain

if TYPE_CHECKING:
    from iodeep.packing.importing import ImportedNetwork, ReferenceImage, ReferencePrediction, SourceKind

INDISPENSABLE = ("landlock", "seccomp")
"""Layers without which nothing is imported: the one closes files, the other network, programs and other processes."""
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_FACTS = (
    "/dev/null",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    "/usr/share/zoneinfo",
)


def main(arguments: Sequence[str]) -> None:
    """Confine and contain this process, then do what the request asks."""
    parent, memory, threads = map(int, arguments[:3])
    folder = Path(arguments[3])
    confine(parent, memory)
    request = json.loads((folder / "request.json").read_text())
    out, libraries = folder / "out", _libraries()
    if os.geteuid() == 0 and kernel.open_to_nobody([path for path in libraries if Path(path).exists()]):
        _give_to_nobody(folder)
    lacking = contain(parent, Files((*libraries, str(folder / "source"), str(folder / "images")), str(out)))
    result = _result(lacking, request, folder, threads)
    (out / "result.part").write_text(json.dumps(result))
    (out / "result.part").rename(out / "result.json")


def _give_to_nobody(folder: Path) -> None:
    """To the user that root becomes, where that one can read Python."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, kernel.NOBODY, kernel.NOBODY, follow_symlinks=False)


def _libraries() -> tuple[str, ...]:
    """What Python and the libraries that it has installed read of themselves."""
    paths = sysconfig.get_paths()
    installed = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    packages = str(Path(__file__).parents[2])
    beside = str(Path(sys.base_prefix) / "lib")
    return (*sorted(installed), packages, beside, *_SYSTEM, *_FACTS)


def _result(lacking: Mapping[str, str], request: dict[str, Any], folder: Path, threads: int) -> dict[str, Any]:
    """The boundary where everything that can go wrong becomes a message."""
    try:
        _refuse_open(lacking)
        if request["act"] == "contain":
            return {"result": {"lacking": dict(lacking)}}
        return {"result": _done(request, folder, threads)}
    except MemoryError:
        return {"memory": True}
    except IODeepError as error:
        return {"error": error.as_dict()}
    except Exception as error:  # one import: whatever it was, the caller is told
        text = " ".join(str(error).split())[:300]
        problem = f"the source could not be read: {type(error).__name__}: {text}"
        return {"error": {"error": "InputError", "problem": problem}}


def _refuse_open(lacking: Mapping[str, str]) -> None:
    for layer in INDISPENSABLE:
        if layer in lacking:
            raise InputError(
                f"nothing is imported here, because what reads a source cannot be contained: {LAYERS[layer]}",
                found=lacking[layer],
                remedy="Import on a machine whose kernel has Landlock and seccomp (docs/security.md).",
            )


def _done(request: dict[str, Any], folder: Path, threads: int) -> dict[str, Any]:
    from iodeep.packing.importing import CARD_LED, recognise
    from iodeep.service.importing.unpacked import unpacked

    os.environ["TMPDIR"] = os.environ["HOME"] = str(folder / "out")
    _limit_threads(threads)
    source = unpacked(folder / "source" / request["source"], folder / "out" / f"unpacked-{request['act']}")
    kind = recognise(source)
    act = _card_led if kind in CARD_LED else _self_contained
    return act(kind, source, request, folder)


def _self_contained(kind: SourceKind, source: Path, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A source that says what happens before and after its network."""
    from iodeep.packing.importing import importer_of

    importer = importer_of(kind)
    if request["act"] == "read":
        return _told(importer.read(source, folder / "out"), folder / "out")
    images = _images(request["images"], folder / "images")
    return _written(importer.predict(source, images, request["card"], folder / "out"), folder / "out")


def _card_led(kind: SourceKind, source: Path, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A source of weights alone."""
    from iodeep.packing.importing import card_led

    importer, card = card_led(kind), request["card"]
    if request["act"] == "read":
        found = importer.export(source, card, folder / "out") if card else importer.read(source, folder / "out")
        return _told(found, folder / "out")
    from iodeep.service.importing.torch_runtime import predicted_by

    images = _images(request["images"], folder / "images")
    return _written(predicted_by(importer.network(source), card, images), folder / "out")


def _limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)


def _told(found: ImportedNetwork, out: Path) -> dict[str, Any]:
    return {
        "kind": found.kind.value,
        "card": found.card,
        "suggested": found.suggested,
        "files": {name: str(path.relative_to(out)) for name, path in found.files.items()},
        "framework": found.framework,
        "questions": [[question.field, question.sentence] for question in found.questions],
        "notes": list(found.notes),
    }


def _images(told: Sequence[dict[str, Any]], folder: Path) -> list[ReferenceImage]:
    import numpy as np

    from iodeep.packing.importing import ReferenceImage

    return [
        ReferenceImage(
            each["name"],
            np.fromfile(folder / str(number), np.float32).reshape(each["shape"]),
            np.array(each["affine"], np.float64),
        )
        for number, each in enumerate(told)
    ]


def _written(prediction: ReferencePrediction, out: Path) -> dict[str, Any]:
    for channel, mask in prediction.masks.items():
        mask.astype("u1").tofile(out / f"mask-{int(channel)}")
    return {
        "masks": sorted(int(channel) for channel in prediction.masks),
        "heads": {name: [float(value) for value in head] for name, head in prediction.heads.items()},
    }


if __name__ == "__main__":
    main(sys.argv[1:])
