"""Time and memory of reading a CT series of 200 x 512 x 512 here and with highdicom, in turns: ``scripts/bench volume``.

Each reading runs in a process of its own, so that peak memory is its own; CPU seconds, because wall-clock time is others' too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.synthetic import write_series

SYNTAXES = {"raw": ExplicitVRLittleEndian, "rle": RLELossless, "jpeg-ls": JPEGLSLossless, "j2k": JPEG2000Lossless}


def write(folder: Path, slices: int, syntax: str) -> None:
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:512, :512]
    body = 1024 + 200 * np.sin(rows / 40) + 150 * np.cos(columns / 25)
    for start in range(0, slices, 20):
        noisy = body + rng.normal(0, 15, (min(20, slices - start), 512, 512))
        write_series(
            folder / f"{start}",
            noisy.clip(0, 4095).astype(np.uint16),
            bits_stored=12,
            spacing=(1.0, 0.7, 0.7),
            origin=(0, 0, float(start)),
            per_slice=lambda k, start=start: {"SOPInstanceUID": f"1.2.{start + k + 1}"},
        )
    if syntax != "raw":
        for path in folder.rglob("*.dcm"):
            ds = dcmread(path)
            ds.compress(SYNTAXES[syntax], generate_instance_uid=False)
            ds.save_as(path)


def read(reader: str, folder: Path) -> dict[str, float]:
    """Headers to voxels; the checks on both results keep the comparison honest."""
    times = [time.process_time()]
    if reader == "iodeep":
        from iodeep.volume import find_series, open_series

        idle = peak_mb()
        times = [time.process_time()]
        found = find_series(folder)[0]
        times.append(time.process_time())
        series = open_series(found)
        times.append(time.process_time())
        voxels = series.read_volume().voxels
    else:
        import highdicom

        idle = peak_mb()
        times = [time.process_time()]
        datasets = [dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
        times += [time.process_time(), time.process_time()]
        voxels = highdicom.get_volume_from_series(datasets, dtype=np.int16).array
    times.append(time.process_time())
    return {
        "headers": times[1] - times[0],
        "geometry": times[2] - times[1],
        "pixels": times[3] - times[2],
        "total": times[3] - times[0],
        "volume_mb": voxels.nbytes / 2**20,
        "peak_mb": peak_mb() - idle,
        "sum": float(voxels.sum(dtype=np.int64)),
    }


def peak_mb() -> float:
    """High-water mark of this process alone; getrusage's starts at its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--syntax", choices=SYNTAXES, default="raw")
    parser.add_argument("--read", nargs=2, metavar=("READER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read(options.read[0], Path(options.read[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.slices, options.syntax)
        results: dict[str, list[dict[str, float]]] = {"iodeep": [], "highdicom": []}
        for _ in range(options.rounds):
            for reader, measured in results.items():
                command = [sys.executable, __file__, "--read", reader, folder]
                measured.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    assert len({run["sum"] for runs in results.values() for run in runs}) == 1, "the two readers disagree"
    for reader, runs in results.items():
        medians = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "sum"}
        print(f"{reader:10}", "  ".join(f"{key} {value:.3f}" for key, value in medians.items()))


if __name__ == "__main__":
    main()
