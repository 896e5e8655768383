"""The process that runs networks: it answers like this one, keeps its limits, and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from iodeep.errors import CancelledError, InferenceError, InputError, NetworkError
from iodeep.inference import Engine, run_in_process, run_model
from iodeep.ports import Progress
from iodeep.settings import RunSettings
from tests.networks import random_convolutions, small_unet, tiny_classifier, tiny_segmenter
from tests.unit.inference.helpers import NETWORK, card, head, noise, segment, volume

LIMITS = RunSettings(threads=1, memory_mib=4096, seconds=200)
SHAPE = (9, 14, 11)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Any:
    gc.collect()  # what earlier tests left to the collector is not this test's
    files, children = open_files(), set(psutil.Process().children(recursive=True))
    yield
    assert open_files() == files
    assert set(psutil.Process().children(recursive=True)) == children


def open_files() -> int:
    """Shared memory, lines and pipes; the runtime keeps files of its own open once it is loaded."""
    links = (str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    return sum(link.startswith(("/memfd:iodeep", "socket:", "pipe:")) for link in links)


def slow(tmp_path: Path) -> dict[str, Any]:
    """A run of several seconds."""
    files = {NETWORK: small_unet(tmp_path / NETWORK, base=16)}
    return {"card": card(), "files": files, "volumes": {"image": volume(noise((128, 128, 128)))}}


def at_network(act: Callable[[], None]) -> Callable[[Progress], None]:
    """A progress sink that acts when the network starts."""

    def sink(progress: Progress) -> None:
        if (progress.step, progress.done) == ("network", 0):
            act()

    return sink


def test_the_process_answers_bit_for_bit_like_this_one(tmp_path: Path) -> None:
    path = random_convolutions(tmp_path / NETWORK)
    model = card(network={"inference": {"mode": "patches", "size": [4, 6, 5]}})
    volumes = {"image": volume((noise(SHAPE) * 1000).astype(np.int16)[:, ::-1])}
    here = run_in_process(model, {NETWORK: path}, volumes, threads=1, probabilities=True)
    with Engine(LIMITS) as engine:
        runs = [engine.run(model, {NETWORK: path}, volumes, probabilities=True) for _ in range(3)]
    for there in runs:
        assert there.segmentation is not None
        assert here.segmentation is not None
        assert np.array_equal(there.segmentation.labels, here.segmentation.labels)  # type: ignore[arg-type]
        assert np.array_equal(there.segmentation.probabilities, here.segmentation.probabilities)  # type: ignore[arg-type]
        assert there.engine == here.engine
        assert "CPUExecutionProvider fp32" in there.engine
        assert {"load", "preprocess", "network", "postprocess"} <= set(there.seconds)


def test_overlapping_masks_and_heads_cross_too(tmp_path: Path) -> None:
    masks = {"decode": "threshold", "threshold": 0.25, "segments": [segment(1, 1), segment(2, 0)]}
    path = tiny_segmenter(tmp_path / NETWORK, steepness=2)
    scores = tiny_classifier(tmp_path / "scores.onnx")
    volumes = {"image": volume(noise(SHAPE))}
    heads = card(segmented=False, heads=(head("softmax"),), network={"files": ["scores.onnx"]})
    with Engine(LIMITS) as engine:
        there = engine.run(card(segmentation=masks), {NETWORK: path}, volumes).segmentation
        said = engine.run(heads, {"scores.onnx": scores}, volumes).classifications
    here = run_in_process(card(segmentation=masks), {NETWORK: path}, volumes).segmentation
    assert there is not None
    assert here is not None
    assert np.array_equal(there.masks, here.masks)  # type: ignore[arg-type]
    assert said == run_in_process(heads, {"scores.onnx": scores}, volumes).classifications


def test_a_session_is_kept_until_its_file_changes(tmp_path: Path) -> None:
    volumes = {"image": volume(noise(SHAPE))}
    counts = []
    with Engine(LIMITS) as engine:
        pid = engine.pid
        for threshold in (0.5, 0.9):
            path = tiny_segmenter(tmp_path / NETWORK, threshold=threshold)
            found = engine.run(card(), {NETWORK: path}, volumes).segmentation
            assert found is not None
            counts.append(int(found.mask(1).sum()))
        assert engine.pid == pid
    assert counts == [int((noise(SHAPE) > threshold).sum()) for threshold in (0.5, 0.9)]


def test_progress_is_told_window_by_window(tmp_path: Path) -> None:
    told: list[Progress] = []
    model = card(network={"inference": {"mode": "patches", "size": [9, 14, 4], "overlap": 0}})
    files = {NETWORK: random_convolutions(tmp_path / NETWORK)}
    run_model(model, files, {"image": volume(noise(SHAPE))}, limits=LIMITS, progress=told.append)
    assert [(step.done, step.total) for step in told if step.step == "network"] == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_errors_of_the_process_arrive_as_they_were(tmp_path: Path) -> None:
    path = tiny_segmenter(tmp_path / NETWORK)
    with Engine(LIMITS) as engine:
        pid = engine.pid
        with pytest.raises(NetworkError, match=r"net\.onnx: the network has no output called 'mask'"):
            engine.run(card(segmentation={"tensor": "mask"}), {NETWORK: path}, {"image": volume(noise(SHAPE))})
        with pytest.raises(InputError, match="expected image"):
            engine.run(card(), {NETWORK: path}, {"another": volume(noise(SHAPE))})
        with pytest.raises(InputError, match=r"missing; found net\.onnx"):
            engine.run(card(), {}, {"image": volume(noise(SHAPE))})
        with pytest.raises(NetworkError, match=r"net\.onnx cannot be read: No such file"):
            engine.run(card(), {NETWORK: tmp_path / "gone" / NETWORK}, {"image": volume(noise(SHAPE))})
        with pytest.raises(InputError, match="grey values"):
            engine.run(card(), {NETWORK: path}, {"image": volume(np.zeros((3, 3, 3, 3)))})
        assert engine.run(card(), {NETWORK: path}, {"image": volume(noise(SHAPE))}).segmentation
        assert engine.pid == pid


def test_too_much_memory_is_told_with_the_limit_and_where_to_set_it(tmp_path: Path) -> None:
    tight = RunSettings(threads=1, memory_mib=256, seconds=200)
    with pytest.raises(InferenceError, match=r"limit of 256 MiB.*memory_mib.*iodeep\.toml"):
        run_model(**slow(tmp_path), limits=tight)


def test_volumes_above_the_limit_are_refused_before_anything_is_reserved(tmp_path: Path) -> None:
    huge = volume(np.broadcast_to(np.float32(0), (4000, 4000, 4000)))
    with pytest.raises(InferenceError, match="limit of 4096 MiB"):
        run_model(card(), {NETWORK: tiny_segmenter(tmp_path / NETWORK)}, {"image": huge}, limits=LIMITS)


def test_too_long_a_run_is_ended_and_told_with_the_limit(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=r"longer than its limit of 0\.5 s.*seconds.*iodeep\.toml"):
        run_model(**slow(tmp_path), limits=RunSettings(threads=1, seconds=0.5))


def test_cancelling_ends_a_run_inside_of_the_network_and_the_engine_goes_on(tmp_path: Path) -> None:
    cancel = threading.Event()
    with Engine(LIMITS) as engine:
        pid = engine.pid
        assert pid is not None
        with pytest.raises(CancelledError):
            engine.run(**slow(tmp_path), progress=at_network(cancel.set), cancel=cancel)
        assert not psutil.pid_exists(pid)
        path = tiny_segmenter(tmp_path / NETWORK)
        assert engine.run(card(), {NETWORK: path}, {"image": volume(noise(SHAPE))}).segmentation


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_process_that_dies_is_told_by_its_signal_and_replaced(tmp_path: Path, number: signal.Signals) -> None:
    with Engine(LIMITS) as engine:

        def kill() -> None:
            assert engine.pid is not None
            os.kill(engine.pid, number)

        with pytest.raises(InferenceError, match=f"ended by signal {number.name}"):
            engine.run(**slow(tmp_path), progress=at_network(kill))
        path = tiny_segmenter(tmp_path / NETWORK)
        assert engine.run(card(), {NETWORK: path}, {"image": volume(noise(SHAPE))}).segmentation


def test_an_error_in_the_callers_progress_ends_the_process(tmp_path: Path) -> None:
    def complain() -> None:
        raise RuntimeError("the screen is gone")

    with Engine(LIMITS) as engine:
        with pytest.raises(RuntimeError, match="screen"):
            engine.run(**slow(tmp_path), progress=at_network(complain))
        assert engine.pid is None


@pytest.mark.parametrize(
    "said",
    [
        "garbage\\n", '[]\\n', '{"progress": 7}\\n', '{"result": {}}\\n', '{"error": 3}\\n', "",
        '{"result": {"engine": "x", "seconds": {}, "heads": [[1]]}}\\n',
    ],
)  # fmt: skip
def test_whatever_the_process_says_is_not_taken_on_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    impostor = tmp_path / "python"
    impostor.write_text(f"#!{sys.executable}\nimport os, sys\nos.write(int(sys.argv[4]), b'{said}')\n")
    impostor.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(impostor))
    with pytest.raises(InferenceError, match="answer"):
        run_model(card(), {NETWORK: tiny_segmenter(tmp_path / NETWORK)}, {"image": volume(noise(SHAPE))}, limits=LIMITS)


def test_the_process_dies_with_its_parent(tmp_path: Path) -> None:
    """In the middle of a network that would take minutes, where it looks at no message."""
    small_unet(tmp_path / NETWORK, base=32)
    code = (
        "from pathlib import Path\n"
        "from iodeep.inference import Engine\n"
        "from iodeep.settings import RunSettings\n"
        "from tests.unit.inference.helpers import NETWORK, card, noise, volume\n"
        "def tell(progress):\n"
        "    if progress.step == 'network':\n"
        "        print(engine.pid, flush=True)\n"
        "with Engine(RunSettings(threads=1)) as engine:\n"
        f"    files, volumes = {{NETWORK: Path({str(tmp_path)!r}) / NETWORK}}, {{'image': volume(noise((192, 192, 192)))}}\n"
        "    engine.run(card(), files, volumes, progress=tell)\n"
    )
    root = Path(__file__).resolve().parents[3]
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    try:
        worker.wait(timeout=5)
    finally:
        if worker.is_running():
            worker.kill()


def test_the_process_is_told_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IODEEP_TEST_SECRET", "hunter2")
    seen: dict[str, str] = {}
    with Engine(LIMITS) as engine:

        def look() -> None:
            seen.update(psutil.Process(engine.pid).environ())

        files = {NETWORK: tiny_segmenter(tmp_path / NETWORK)}
        engine.run(card(), files, {"image": volume(noise(SHAPE))}, progress=at_network(look))
    assert seen == {"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}


def test_the_process_imports_nothing_that_a_plain_run_does_not_need() -> None:
    code = (
        "import sys, iodeep.inference.worker, iodeep.inference.pipeline, iodeep.inference.onnx_runtime\n"
        "heavy = {'pydantic', 'onnx', 'scipy', 'highdicom', 'pydicom', 'torch', 'cc3d'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
