"""What the kernel has to take rights away from a process, as plain calls; each raises OSError where it is refused.

By ctypes, because what PyPI has does not fit: ``pyseccomp`` needs a system library that an image may lack, and ``landlockpy``
starts other programs to find the C library. Landlock is two calls where nothing is allowed.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Mapping

from iodeep.inference.containment_filter import MACHINES, packed, program

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 1, 8, 38, 4
_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
"""The same on every architecture (include/uapi/asm-generic/unistd.h)."""
_CAPABILITY_VERSION_3 = 0x20080522
NOBODY = 65534
CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7
LANDLOCK_ABI_OF_NETWORK, _LANDLOCK_ABI_OF_SCOPES = 4, 6
_FS_BITS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights on files an ABI of Landlock knows (LANDLOCK_ACCESS_FS_* in include/uapi/linux/landlock.h)."""


_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG, _REFER, _TRUNCATE = 1 << 7, 1 << 8, 1 << 13, 1 << 14
READ = _READ_FILE | _READ_DIR
WRITE = READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
"""Rights of Landlock (LANDLOCK_ACCESS_FS_*) on what lies below a folder: no program is started, no device or link made."""
_RIGHTS_ON_A_FILE = _READ_FILE | _WRITE_FILE | _TRUNCATE


def die_with_parent(signal: int) -> None:
    """PR_SET_PDEATHSIG; the kernel forgets it at every change of user or capabilities."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def no_new_privileges() -> None:
    """No program that this process starts gains rights (Documentation/userspace-api/no_new_privs.rst)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def no_dump() -> None:
    """No core dump by any handler, and no other process of the same user may look into this one (PR_SET_DUMPABLE)."""
    _prctl(_PR_SET_DUMPABLE, 0)


def capabilities() -> int:
    """The permitted ones, as bits (capget(2))."""
    header, data = _capability_header(), ctypes.create_string_buffer(24)
    _checked(_libc().capget(header, data))
    _, low, _, _, high, _ = struct.unpack("=6I", data.raw)
    return int(low | high << 32)


def open_to_nobody(paths: Iterable[str]) -> bool:
    """Whether the user that :func:`become_nobody` becomes may read ``paths``; called as root."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        return all(os.access(path, os.R_OK, effective_ids=True) for path in paths)
    finally:
        os.seteuid(0)
        os.setegid(0)


def set_capabilities(bits: int) -> None:
    """Permitted and effective; inheritable none (capset(2))."""
    low, high = bits & 0xFFFFFFFF, bits >> 32
    data = ctypes.create_string_buffer(struct.pack("=6I", low, low, 0, high, high, 0), 24)
    _checked(_libc().capset(_capability_header(), data))


def become_nobody() -> None:
    """Give up root's user and groups, and keep the capabilities for what is still to be given up."""
    held = capabilities()
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    set_capabilities(held)


def own_user_and_network() -> None:
    """A user, network and IPC namespace of its own: no interface, not even loopback (user_namespaces(7))."""
    _checked(_libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC))


def own_network() -> None:
    """The same without a user namespace, for which CAP_SYS_ADMIN is needed."""
    _checked(_libc().unshare(_CLONE_NEWNET | _CLONE_NEWIPC))


def root_is(folder: int) -> None:
    """The open ``folder`` is all that there is of a file system (chroot(2)); CAP_SYS_CHROOT is needed."""
    os.fchdir(folder)
    os.chroot(".")


def landlock_abi() -> int:
    """The version of Landlock that the kernel has; OSError where it has none, or it is switched off."""
    return _checked(_libc().syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def landlock_everything(abi: int, but: Mapping[str, int] | None = None) -> None:
    """Forbid all that Landlock knows of: files, TCP, signals and abstract sockets of others; ``but`` rights by path.

    Documentation/userspace-api/landlock.rst: a ruleset that handles rights and holds no rule allows none of them.
    """
    files = (1 << _FS_BITS_OF_ABI.get(abi, 16)) - 1
    network = 3 if abi >= LANDLOCK_ABI_OF_NETWORK else 0
    scopes = 3 if abi >= _LANDLOCK_ABI_OF_SCOPES else 0
    size = 24 if scopes else 16 if network else 8
    attributes = ctypes.create_string_buffer(struct.pack("=3Q", files, network, scopes), 24)
    ruleset = _checked(_libc().syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)))
    try:
        for path, rights in (but or {}).items():
            _allow_below(ruleset, path, rights & files)
        _checked(_libc().syscall(_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)


def _allow_below(ruleset: int, path: str, rights: int) -> None:
    """A rule of type LANDLOCK_RULE_PATH_BENEATH."""
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        kept = rights if stat.S_ISDIR(os.fstat(place).st_mode) else rights & _RIGHTS_ON_A_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", kept, place), 12)
        kind, none = ctypes.c_int(1), ctypes.c_uint32(0)
        _checked(_libc().syscall(_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), kind, rule, none))
    finally:
        os.close(place)


def filter_calls(of_files: bool = False) -> None:
    """From now on only the calls of :mod:`iodeep.inference.containment_filter`, in every thread; ``of_files``: those too."""
    name = os.uname().machine
    machine = MACHINES.get(name)
    if machine is None:
        raise OSError(0, f"no filter was written for {name}")
    code = packed(program(machine, os.getpid(), files=of_files))
    content = ctypes.create_string_buffer(code, len(code))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(content)))
    call = ctypes.c_long(machine.seccomp)
    _checked(_libc().syscall(call, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, whole))


def _capability_header() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _checked(_libc().prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
