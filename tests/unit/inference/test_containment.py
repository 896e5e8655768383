"""Code that runs inside of the inference process reaches nothing outside of it, whoever started it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iodeep.inference import Engine
from iodeep.inference.containment import LAYERS, told
from iodeep.inference.containment_filter import MACHINES
from iodeep.service.containing import DECISIVE, lacking_layers
from iodeep.settings import RunSettings
from tests.networks import tiny_segmenter
from tests.unit.inference.helpers import NETWORK, card, noise, volume
from tests.unit.inference.hostile import STRANGER, hostile_process, outcomes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the containment is Linux's")
as_each_user = pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(False, id="as-we-are"),
        pytest.param(True, id="unprivileged", marks=pytest.mark.skipif(os.geteuid() != 0, reason="takes root")),
    ],
)

FILES = {
    "a marker file": "open(marker, 'w').write('here')",
    "a secret": "open(secret).read()",
    "a secret by its descriptor": "os.read(os.open(secret, os.O_RDONLY), 9)",
    "the list of a folder": "os.listdir(ground)",
    "its parent's memory": "open(f'/proc/{target}/mem', 'rb')",
    "its own memory as a file": "open('/proc/self/mem', 'r+b')",
    "removing a file": "os.unlink(victim)",
}
NETWORK_CALLS = {
    "TCP": "socket.socket().connect(('127.0.0.1', tcp))",
    "listening": "socket.socket().bind(('127.0.0.1', 0))",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'here', ('127.0.0.1', udp))",
    "a UNIX socket": "socket.socket(socket.AF_UNIX).connect(unix)",
    "an abstract UNIX socket": "socket.socket(socket.AF_UNIX).connect(abstract)",
}
_C = "libc = ctypes.CDLL(None, use_errno=True)\nresult = libc.{}\nif result < 0: raise OSError(ctypes.get_errno(), '')"
PROCESSES = {
    "fork": "child = os.fork()\nif child == 0: os._exit(0)\nos.waitpid(child, 0)",
    "a program": "subprocess.run(['/bin/true'], check=True, env={})",
    "a program by posix_spawn": "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "a signal to another": "os.kill(target, 0)",
    "tracing another": _C.format("ptrace(0x4206, target, None, None)"),  # PTRACE_SEIZE, which stops nobody
    "memory of no file": "os.memfd_create('more')",
    "shared memory beyond the limit": "mmap.mmap(-1, 4096)",
    "code made at run time": "mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_EXEC)",
    "limits of another": "resource.prlimit(target, resource.RLIMIT_CORE, (0, 0))",
    "its own limits": _C.format("setrlimit(4, (ctypes.c_ulong * 2)(0, 0))"),
    "a pipe": "os.pipe()",
    "a user namespace": "if os.fork() == 0: os._exit(0 if ctypes.CDLL(None).unshare(0x10000000) == 0 else 1)\n",
}
EVERYTHING = FILES | NETWORK_CALLS | PROCESSES


@dataclass(frozen=True)
class Ground:
    """What there is to attack, all of it open to every user of this machine; ``scope`` is what the code is told."""

    folder: Path
    scope: dict[str, Any]
    tcp: socket.socket
    udp: socket.socket
    unix: socket.socket

    def reached(self) -> list[str]:
        """What an attack left a trace of."""
        found = [name for name, listener in (("tcp", self.tcp), ("unix", self.unix)) if _connected(listener)]
        try:
            self.udp.recv(100)
            found.append("udp")
        except BlockingIOError:
            pass
        files = {"marker": Path(self.scope["marker"]).exists(), "victim": not Path(self.scope["victim"]).exists()}
        return sorted(found + [name for name, holds in files.items() if holds])


def _connected(listener: socket.socket) -> bool:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True


@pytest.fixture
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    user = STRANGER if request.getfixturevalue("stranger") else None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o777)
        for name in ("secret", "victim"):
            (folder / name).write_text("hunter2")
        tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
        abstract, udp = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for each in (tcp, unix, abstract, udp):
            stack.enter_context(each).setblocking(False)
        udp.bind(("127.0.0.1", 0))
        unix.bind(f"{folder}/unix")
        (folder / "unix").chmod(0o777)
        abstract.bind(f"\0iodeep-{folder.name}")
        unix.listen()
        abstract.listen()
        target = subprocess.Popen(
            ["sleep", "300"],
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            stdout=subprocess.DEVNULL,
        )
        stack.callback(target.wait)
        stack.callback(target.kill)
        scope = {
            "ground": str(folder), "marker": f"{folder}/marker", "secret": f"{folder}/secret", "victim": f"{folder}/victim",
            "tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1], "unix": f"{folder}/unix",
            "abstract": abstract.getsockname().decode(), "target": target.pid,
        }  # fmt: skip
        yield Ground(folder, scope, tcp, udp, unix)


@as_each_user
def test_a_contained_process_reaches_nothing(tmp_path: Path, ground: Ground, stranger: bool) -> None:
    with hostile_process(tmp_path, stranger=stranger) as (process, lacking):
        found = outcomes(process, EVERYTHING, ground.scope)
    assert not lacking
    assert [name for name, outcome in found.items() if outcome not in ("EPERM", "EACCES", "ENOENT", "ENOSYS")] == []
    assert ground.reached() == []


@as_each_user
def test_the_same_attacks_succeed_where_nothing_is_contained(tmp_path: Path, ground: Ground, stranger: bool) -> None:
    """Otherwise the other tests would show nothing."""
    with hostile_process(tmp_path, stranger=stranger, free=True) as (process, _):
        found = outcomes(process, EVERYTHING, ground.scope)
    expected = {"its own memory as a file": "EACCES"} if stranger else {}  # it changed its user, so that is root's
    assert {name: outcome for name, outcome in found.items() if outcome != "done"} == expected
    assert ground.reached() == ["marker", "tcp", "udp", "unix", "victim"]


@as_each_user
def test_the_filter_of_system_calls_is_enough_alone(tmp_path: Path, ground: Ground, stranger: bool) -> None:
    others = ("user", "namespaces", "root folder", "landlock")
    with hostile_process(tmp_path, stranger=stranger, without=others) as (process, lacking):
        found = outcomes(process, EVERYTHING, ground.scope)
    assert [name for name, outcome in found.items() if outcome not in ("EPERM", "ENOSYS")] == []
    assert ground.reached() == []
    expected = {"namespaces", "root folder", "landlock", "landlock network"} | (
        {"user"} if not _unprivileged(stranger) else set()
    )
    assert expected == set(lacking)


@as_each_user
@pytest.mark.parametrize("others", [("seccomp",), ("seccomp", "landlock"), ("seccomp", "namespaces", "root folder")])
def test_files_and_networks_stay_closed_without_that_filter(
    tmp_path: Path, ground: Ground, stranger: bool, others: tuple[str, ...]
) -> None:
    """By the namespaces and the empty root folder, or by Landlock, as far as it knows: UDP and UNIX paths it doesn't."""
    attacks = FILES | NETWORK_CALLS
    if "namespaces" in others:
        attacks = FILES | {name: NETWORK_CALLS[name] for name in ("TCP", "listening", "an abstract UNIX socket")}
    if "landlock" in others:
        attacks.pop("listening")  # on a network of its own, which nobody else is on
    with hostile_process(tmp_path, stranger=stranger, without=others) as (process, lacking):
        found = outcomes(process, attacks, ground.scope)
    assert [name for name, outcome in found.items() if outcome == "done"] == []
    assert ground.reached() == []
    assert set(others) <= set(lacking)


@as_each_user
def test_another_program_cannot_take_its_place(tmp_path: Path, ground: Ground, stranger: bool) -> None:
    attack = {"execve": "os.execv('/bin/true', ['true'])"}
    with hostile_process(tmp_path, stranger=stranger) as (process, _):
        assert outcomes(process, attack, ground.scope) == {"execve": "EPERM"}


@as_each_user
def test_a_fork_bomb_never_starts_and_threads_do(tmp_path: Path, ground: Ground, stranger: bool) -> None:
    attacks = {
        "bomb": "while True: os.fork()",
        "threads": "each = threading.Thread(target=print)\neach.start()\neach.join()",
    }
    with hostile_process(tmp_path, stranger=stranger) as (process, _):
        assert outcomes(process, attacks, ground.scope) == {"bomb": "EPERM", "threads": "done"}


@as_each_user
def test_it_holds_no_rights_and_no_descriptors_but_its_own(tmp_path: Path, ground: Ground, stranger: bool) -> None:
    with hostile_process(tmp_path, stranger=stranger) as (process, _):
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        if os.geteuid() == 0:
            assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) == 4  # standard ones and the line
            assert Path(f"/proc/{process.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert "0" not in status["Uid"].split()
    assert status["Groups"].strip() == "" or os.geteuid() != 0


def test_a_run_says_what_is_lacking_and_nothing_where_all_is_there(tmp_path: Path) -> None:
    with Engine(RunSettings(threads=1)) as engine:
        said = engine.lacking
        engine.run(card(), {NETWORK: tiny_segmenter(tmp_path / NETWORK)}, {"image": volume(noise((5, 6, 7)))})
        assert engine.lacking == said
    reasons = dict.fromkeys(LAYERS, "Function not implemented")
    assert len(told(reasons)) == len(LAYERS)
    assert all(sentence.endswith("(Function not implemented).") for sentence in told(reasons))


def test_the_service_and_the_doctor_say_what_the_machine_refuses() -> None:
    with Engine(RunSettings(threads=1)) as engine:
        assert tuple(lacking_layers().values()) == engine.lacking


def test_a_containment_that_cannot_be_tried_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert DECISIVE in lacking_layers()


def test_an_idle_process_stands_still(tmp_path: Path) -> None:
    files = {NETWORK: tiny_segmenter(tmp_path / NETWORK)}
    with Engine(RunSettings(threads=1)) as engine:
        engine.run(card(), files, {"image": volume(noise((5, 6, 7)))})
        assert engine.pid is not None
        os.waitid(os.P_PID, engine.pid, os.WSTOPPED | os.WNOWAIT)  # returns when it has stopped
        assert engine.run(card(), files, {"image": volume(noise((5, 6, 7)))}).segmentation


def _unprivileged(stranger: bool) -> bool:
    return stranger or os.geteuid() != 0


EVERY_STEP: tuple[dict[str, Any], ...] = (
    {"step": "orient", "axes": "RAS"},
    {"step": "crop_foreground", "above": 0.0, "margin": 1},
    {"step": "resample_spacing", "mm": [1.3, 1.2, 1.1], "interpolation": "linear"},
    {"step": "resample_spacing", "mm": [1.2, 1.1, 1.0], "interpolation": "nearest"},
    {"step": "resize", "shape": [9, 8, 7], "interpolation": "cubic"},
    {"step": "window", "center": 0.5, "width": 1},
    {"step": "clip_percentiles", "lower": 1, "upper": 99, "foreground_above": 0.1},
    {"step": "z_score", "foreground_above": 0.1},
    {"step": "scale_range"},
    {"step": "scale_shift", "scale": 2, "shift": 1},
    {"step": "clip", "low": 0, "high": 2},
    {"step": "pad_to_multiple", "multiple": 4},
)
EVERY_TIDYING: tuple[dict[str, Any], ...] = (
    {"step": "largest_component"},
    {"step": "fill_holes"},
    {"step": "minimum_volume", "ml": 0.001},
)


@pytest.mark.parametrize(
    ("steps", "post", "decode"),
    [
        *(((step,), (), "argmax") for step in EVERY_STEP),
        *(((), (step,), decode) for step in EVERY_TIDYING for decode in ("argmax", "threshold")),
        (EVERY_STEP, EVERY_TIDYING, "argmax"),
    ],
)
def test_a_contained_process_lacks_no_module_of_any_step(
    tmp_path: Path, steps: tuple[dict[str, Any], ...], post: tuple[dict[str, Any], ...], decode: str
) -> None:
    """What a step imports at its first use has to be there before: afterwards there is no file system."""
    model = card(steps=steps, post=post, segmentation={"decode": decode, "threshold": 0.5})
    files, volumes = {NETWORK: tiny_segmenter(tmp_path / NETWORK)}, {"image": volume(noise((9, 10, 11)))}
    with Engine(RunSettings(threads=1)) as engine:
        assert engine.run(model, files, volumes, probabilities=True).segmentation


def test_two_inputs_are_brought_together_in_a_contained_process(tmp_path: Path) -> None:
    model = card(inputs=("image", "other"))
    path = tiny_segmenter(tmp_path / NETWORK, inputs=2)
    first, second = volume(noise((9, 10, 11))), volume(noise((9, 10, 11)), (1.9, 1.0, 1.0))
    with Engine(RunSettings(threads=1)) as engine:
        assert engine.run(model, {NETWORK: path}, {"image": first, "other": second}).segmentation


def test_a_card_that_needs_more_modules_gets_another_process(tmp_path: Path) -> None:
    files, volumes = {NETWORK: tiny_segmenter(tmp_path / NETWORK)}, {"image": volume(noise((9, 10, 11)))}
    with Engine(RunSettings(threads=1)) as engine:
        engine.run(card(), files, volumes)
        first = engine.pid
        engine.run(card(post=EVERY_TIDYING), files, volumes)
        second = engine.pid
        engine.run(card(), files, volumes)
        assert first != second == engine.pid


@pytest.mark.parametrize(
    ("machine", "header", "prefixes"),
    [
        ("x86_64", "x86_64-linux-gnu/asm/unistd_64.h", ("__NR_",)),
        ("aarch64", "asm-generic/unistd.h", ("__NR_", "__NR3264_")),
    ],
)
def test_the_numbers_of_system_calls_are_the_kernels_own(machine: str, header: str, prefixes: tuple[str, ...]) -> None:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip("the kernel's headers are not installed")
    defined = dict(re.findall(r"#define (\w+)\s+(\d+)$", path.read_text(), re.MULTILINE))
    other_names = {"newfstatat": "fstatat"}
    for name, number in MACHINES[machine].calls.items():
        names = [prefix + each for prefix in prefixes for each in (name, other_names.get(name, name))]
        assert str(number) in [defined.get(each) for each in names], name
    assert defined["__NR_seccomp"] == str(MACHINES[machine].seccomp)
