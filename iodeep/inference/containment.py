"""Before a network is loaded, the inference process gives up all that computing doesn't need, and says what it couldn't.

Several layers, each of which the kernel may have or not, or a container may forbid; none relies on another. After
:func:`contain` the process opens no file, reaches no network, starts no program and signals nobody: it computes on memory
and files that were handed to it. Whatever it will need must be imported by then.

A process that imports networks is left some files (:class:`Files`): it reads a source with libraries that read their own
files at any moment. All else is the same.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from iodeep.inference import containment_kernel as kernel

LAYERS = {
    "user": "it runs as root",
    "namespaces": "it has no network namespace of its own",
    "root folder": "it has no empty root folder of its own",
    "capabilities": "it keeps root's capabilities",
    "privileges": "it could gain privileges",
    "landlock": "Landlock does not close the file system",
    "landlock network": "Landlock does not close the network",
    "seccomp": "seccomp does not filter its system calls",
}
"""Each layer, and what is the case where it is lacking."""
MOST_THREADS = 1024
MOST_FILES = 1024
MOST_FILE_BYTES = 16 << 30


@dataclass(frozen=True)
class Files:
    """What a process is left of the file system: folders and files to read, and one folder to write."""

    read: tuple[str, ...]
    write: str

    @property
    def rights(self) -> dict[str, int]:
        """For Landlock, by path; what does not exist, or is closed to this user anyway, is left out."""
        return {path: kernel.READ for path in self.read if os.path.exists(path)} | {self.write: kernel.WRITE}  # noqa: PTH110


class _Lacking:
    """Tries one layer after the other and keeps what could not be had."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def attempt(self, layer: str, act: Callable[[], None]) -> bool:
        try:
            act()
        except OSError as error:
            self.reasons[layer] = error.strerror or type(error).__name__
            return False
        return True


def contain(parent: int, files: Files | None = None) -> dict[str, str]:
    """Give up everything but ``files``; the layers that could not be had, each with the reason. It cannot be undone.

    With files there is no root folder of its own, so Landlock is what closes the rest: a caller needs it.

    Raises SystemExit where another thread runs, which would stay outside of some layers, or where ``parent`` is gone.
    """
    if sys.platform != "linux":
        _limit(resource.RLIMIT_FSIZE, 0)
        return dict.fromkeys(LAYERS, f"not on {sys.platform}")
    _only_one_thread()
    lacking = _Lacking()
    folder = None if files else _EmptyFolder()
    if folder:
        lacking.attempt("root folder", folder.make)
    _limit(resource.RLIMIT_FSIZE, MOST_FILE_BYTES if files else 0)  # 0: memory that is handed over still gets content
    _no_longer_root(lacking, files)
    own = lacking.attempt("namespaces", kernel.own_user_and_network)
    if own:
        _limit(resource.RLIMIT_NPROC, MOST_THREADS)  # counted within the namespace; outside, others' would count too
    elif lacking.attempt("namespaces", kernel.own_network):
        del lacking.reasons["namespaces"]
    if folder and "root folder" not in lacking.reasons:
        lacking.attempt("root folder", folder.enter)
    lacking.attempt("capabilities", lambda: kernel.set_capabilities(0))
    lacking.attempt("privileges", kernel.no_new_privileges)
    kernel.no_dump()
    kernel.die_with_parent(signal.SIGKILL)  # again: the changes above made the kernel forget it
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")
    _limit(resource.RLIMIT_NOFILE, MOST_FILES)
    _landlock(lacking, files)
    lacking.attempt("seccomp", lambda: kernel.filter_calls(files is not None))
    return lacking.reasons


def told(reasons: Mapping[str, str], process: str = "inference process") -> tuple[str, ...]:
    """One sentence a layer of ``process`` that is lacking, for those who decide whether that is good enough."""
    return tuple(
        f"The {process} is contained less than it should be: {LAYERS[layer]} ({reason})."
        for layer, reason in reasons.items()
        if layer in LAYERS
    )


def _only_one_thread() -> None:
    tasks = Path("/proc/self/task")
    if tasks.is_dir() and len(list(tasks.iterdir())) != 1:
        raise SystemExit("a thread was started before the containment")


class _EmptyFolder:
    """A folder that is no longer in any other: it holds nothing, and nothing can be made in it."""

    def __init__(self) -> None:
        self._descriptor = -1

    def make(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="iodeep-"))
        try:
            folder.chmod(0o555)  # whoever the process is by then may enter it
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            folder.rmdir()

    def enter(self) -> None:
        try:
            kernel.root_is(self._descriptor)
        finally:
            os.close(self._descriptor)


def _no_longer_root(lacking: _Lacking, files: Files | None) -> None:
    if os.geteuid() != 0:
        return
    if files and not kernel.open_to_nobody(files.rights):
        lacking.reasons["user"] = "Python or its temporary files are not open to other users"
        return
    needed = (kernel.CAP_KILL, kernel.CAP_SETGID, kernel.CAP_SETUID)
    if all(kernel.capabilities() >> bit & 1 for bit in needed):
        lacking.attempt("user", kernel.become_nobody)
    else:  # without CAP_KILL the parent could not end a process of another user
        lacking.reasons["user"] = "CAP_SETUID, CAP_SETGID and CAP_KILL are needed to change that"


def _landlock(lacking: _Lacking, files: Files | None) -> None:
    def close() -> None:
        abi = kernel.landlock_abi()
        kernel.landlock_everything(abi, files.rights if files else None)
        if abi < kernel.LANDLOCK_ABI_OF_NETWORK:
            lacking.reasons["landlock network"] = f"the kernel has version {abi} of it, which knows no network"

    if not lacking.attempt("landlock", close):
        lacking.reasons["landlock network"] = lacking.reasons["landlock"]


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (bound, bound))
