"""The system calls that a process still needs which computes on what it holds; every other is answered with EPERM.

The filter is a classic BPF program over ``struct seccomp_data`` (include/uapi/linux/seccomp.h; seccomp(2); the kernel's
Documentation/userspace-api/seccomp_filter.rst). It is a list of what is allowed: a call that a later kernel adds is refused.
``clone3`` is answered with ENOSYS, because its flags lie behind a pointer where no filter sees them; the C library then
starts its threads with ``clone``.

A process that is left some files (an importer's) needs further calls on them, and frameworks that make code at run time and
load libraries late: which files those calls reach is Landlock's to say.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
"""BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_ALU|AND|K, BPF_RET|K (include/uapi/linux/bpf_common.h)."""
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data; both architectures are little-endian, the low half of an argument comes first."""
_X32 = 0x40000000
"""Numbers from here on are x86-64's second set of calls (__X32_SYSCALL_BIT)."""

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True)
class Machine:
    """A processor architecture: its name for the kernel (AUDIT_ARCH_*), the number of seccomp(2), and of each call."""

    audit: int
    seccomp: int
    calls: Mapping[str, int]


_PLAIN = {  # name: (x86-64, aarch64); None where the architecture has no such call
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "preadv": (295, 69),
    "close": (3, 57), "lseek": (8, 62), "fstat": (5, 80), "poll": (7, None), "ppoll": (271, 73),
    "recvfrom": (45, 207), "recvmsg": (47, 212),
    "brk": (12, 214), "munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233),
    "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "getcpu": (309, 168), "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173),
    "exit": (60, 93), "exit_group": (231, 94),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, None),
    "getrandom": (318, 278), "getrusage": (98, 165), "sysinfo": (99, 179),
}  # fmt: skip
_JUDGED = {
    "clone": (56, 220), "clone3": (435, 435), "mmap": (9, 222), "mprotect": (10, 226), "tgkill": (234, 131),
    "prlimit64": (302, 261), "fcntl": (72, 25), "sendto": (44, 206), "newfstatat": (262, 79),
}  # fmt: skip
_OF_FILES = {
    "openat": (257, 56), "open": (2, None), "newfstatat": (262, 79), "stat": (4, None), "lstat": (6, None), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "getdents64": (217, 61), "getcwd": (79, 17),
    "readlink": (89, None), "readlinkat": (267, 78), "unlink": (87, None), "unlinkat": (263, 35), "mkdir": (83, None),
    "mkdirat": (258, 34), "rmdir": (84, None), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "ftruncate": (77, 46), "pwrite64": (18, 68), "fsync": (74, 82), "fdatasync": (75, 83), "fadvise64": (221, 223),
    "dup": (32, 23), "flock": (73, 32), "statfs": (137, 43), "fstatfs": (138, 44), "umask": (95, 166),
    "sendfile": (40, 71), "copy_file_range": (326, 285), "uname": (63, 160),
    "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
}  # fmt: skip
"""Only for a process that is left some files; none of them changes whose a file is, who may read it, or another process."""
_CLONE_THREAD, _PROT_EXEC, _MAP_SHARED_ANONYMOUS, _AT_EMPTY_PATH = 0x10000, 4, 0x21, 0x1000
_FCNTL = (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC; not F_SETOWN, which lets a file send signals."""


def _machine(place: int, audit: int, seccomp: int) -> Machine:
    numbers = {name: both[place] for name, both in (_PLAIN | _JUDGED | _OF_FILES).items()}
    return Machine(audit, seccomp, {name: number for name, number in numbers.items() if number is not None})


MACHINES: Mapping[str, Machine] = {
    "x86_64": _machine(0, 0xC000003E, 317),
    "aarch64": _machine(1, 0xC00000B7, 277),
}
"""By what os.uname() calls it."""


def program(machine: Machine, pid: int, *, files: bool = False) -> list[Instruction]:
    """The filter for the process ``pid``, which may signal nobody but itself; ``files``: it is left some."""
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    blocks = {**{name: [_allow()] for name in _PLAIN}, **_judgements(pid)}
    if files:
        blocks |= {name: [_allow()] for name in _OF_FILES} | {"mmap": _own_memory(), "mprotect": [_allow()]}
    for name, block in blocks.items():
        if name in machine.calls:
            code += [(_EQUAL, 0, len(block), machine.calls[name]), *block]
    return [*code, _refuse()]


def packed(code: Sequence[Instruction]) -> bytes:
    """As an array of ``struct sock_filter`` (include/uapi/linux/filter.h)."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _judgements(pid: int) -> dict[str, list[Instruction]]:
    """Calls that depend on their arguments; each block ends in an answer."""
    return {
        "clone": [*_argument(0, _CLONE_THREAD), *_if_equal(_CLONE_THREAD), _refuse()],
        "clone3": [_refuse(errno.ENOSYS)],
        "mmap": [*_argument(2, _PROT_EXEC), (_EQUAL, 1, 0, 0), _refuse(), *_own_memory()],
        "mprotect": [*_argument(2, _PROT_EXEC), *_if_equal(0), _refuse()],
        "tgkill": [*_argument(0), *_if_equal(pid), _refuse()],
        "prlimit64": [*_null(2), *_argument(0), *_if_equal(0), _refuse()],
        "fcntl": [*_argument(1), *(step for value in _FCNTL for step in _if_equal(value)), _refuse()],
        "sendto": [*_null(4), _allow()],
        "newfstatat": [*_argument(3, _AT_EMPTY_PATH), *_if_equal(_AT_EMPTY_PATH), _refuse()],
    }  # fmt: skip


def _own_memory() -> list[Instruction]:
    """Memory that is shared and anonymous would count towards no limit."""
    return [*_argument(3, _MAP_SHARED_ANONYMOUS), (_EQUAL, 0, 1, _MAP_SHARED_ANONYMOUS), _refuse(), _allow()]


def _argument(index: int, mask: int | None = None) -> list[Instruction]:
    """Load the low half of an argument: flags, and numbers of the kernel's type int."""
    load: list[Instruction] = [(_LOAD, 0, 0, _ARGUMENTS + 8 * index)]
    return load if mask is None else [*load, (_AND, 0, 0, mask)]


def _null(index: int) -> list[Instruction]:
    """Refuse unless the argument is a null pointer, in both halves."""
    low, high = _ARGUMENTS + 8 * index, _ARGUMENTS + 8 * index + 4
    return [
        (_LOAD, 0, 0, low), (_EQUAL, 1, 0, 0), _refuse(),
        (_LOAD, 0, 0, high), (_EQUAL, 1, 0, 0), _refuse(),
    ]  # fmt: skip


def _if_equal(value: int) -> list[Instruction]:
    return [(_EQUAL, 0, 1, value), _allow()]


def _allow() -> Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _refuse(number: int = errno.EPERM) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)
