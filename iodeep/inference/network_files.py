"""A network by what its files hold, not by where they lie: whoever is given the contents needs no file system.

The engine opens the files and hands their descriptors to its process, which can open none itself.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import NetworkError


@dataclass(frozen=True)
class NetworkContent:
    """An ONNX file and the external data that the card lists for it, mapped and read-only."""

    name: str
    model: memoryview
    external: Mapping[str, memoryview]
    """By location, which is the name of a file beside the network; one that isn't there is left out."""
    identity: tuple[object, ...] = ()
    """What tells this state of the files from another: device, inode, size and time of change of each."""


@dataclass(frozen=True)
class NetworkDescriptors:
    """The same as open files."""

    name: str
    model: int
    external: Mapping[str, int]

    def content(self) -> NetworkContent:
        """The files mapped; the descriptors are no longer needed for it."""
        identity = [_identity(descriptor) for descriptor in (self.model, *self.external.values())]
        external = {location: _mapped(descriptor) for location, descriptor in self.external.items()}
        return NetworkContent(self.name, _mapped(self.model), external, (self.name, *external, *identity))


@contextmanager
def opened(path: Path, listed: Collection[str], folder: Path | None = None) -> Iterator[NetworkDescriptors]:
    """The network at ``path`` and those of the ``listed`` external data that lie in ``folder`` (that of ``path``).

    A link that leads out of the folder counts as missing. Raises NetworkError where the network cannot be read.
    """
    beside = (folder or path.parent).resolve()
    places = {location: beside / location for location in listed}
    external: dict[str, int] = {}
    descriptors: list[int] = []
    try:
        descriptors.append(_opened(path))
        for location, place in places.items():
            if place.is_file() and place.resolve().parent == beside:
                descriptors.append(_opened(place))
                external[location] = descriptors[-1]
        yield NetworkDescriptors(path.name, descriptors[0], external)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def read_content(path: Path, listed: Collection[str], folder: Path | None = None) -> NetworkContent:
    """The contents, for whoever has the file system."""
    with opened(path, listed, folder) as network:
        return network.content()


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NetworkError(f"the network {path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NetworkError(f"the network {path.name} cannot be read: it is not a file")
    return descriptor


def _mapped(descriptor: int) -> memoryview:
    if os.fstat(descriptor).st_size == 0:
        return memoryview(b"")
    return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))  # unmapped with the last view of it


def _identity(descriptor: int) -> tuple[int, ...]:
    status = os.fstat(descriptor)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
