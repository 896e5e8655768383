"""Files for the service's user alone: mode 0600, and its own even where root made them.

An administrator types `iodeep keys add` as root; the service, which is not root, has to be able to read what that made.
"""

from __future__ import annotations

import os
from pathlib import Path


def open_private(path: Path, flags: int) -> int:
    """A descriptor of the file, made where it is missing, for the owner of its folder."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        _give_to_owner_of(path.parent, descriptor)
    return descriptor


def write_private(path: Path, content: bytes) -> None:
    """Replace the file as one act, on the disk once this returns."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    try:
        with os.fdopen(open_private(beside, os.O_WRONLY | os.O_EXCL), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _give_to_owner_of(folder: Path, descriptor: int) -> None:
    owner, ours = folder.stat(), os.fstat(descriptor)
    if (owner.st_uid, owner.st_gid) != (ours.st_uid, ours.st_gid):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
