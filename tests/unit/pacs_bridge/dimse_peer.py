"""A small archive of pynetdicom's own in this process, which misbehaves as a test asks it to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RawDataStorage, generate_uid
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from iodeep.settings import PacsSettings, Retrieve

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
VERIFICATION = "1.2.840.10008.1.1"
LOOPBACK = "127.0.0.1"
AET = "PEER"


def raw_data(*, study: str, series: str, number: int = 1, payload: bytes = b"\x01\x02" * 512, **more: Any) -> Dataset:
    """A Raw Data instance with a private payload, as a part of a model has it."""
    dataset = Dataset()
    dataset.SOPClassUID = UID(RawDataStorage)
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PatientID, dataset.PatientName, dataset.StudyID = "AIM1.MR.BRAIN", "AIMODEL^BRAIN", "V1.0.0"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "OT", 1, number
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.private_block(0x7FE1, "IODEEP AIMODEL 1", create=True).add_new(0x30, "OB", payload)
    return dataset


def written(dataset: Dataset, folder: Path, transfer_syntax: str = str(ExplicitVRLittleEndian)) -> Path:
    """The data set as a Part 10 file in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    implicit = transfer_syntax == ImplicitVRLittleEndian
    dcmwrite(path, dataset, enforce_file_format=True, implicit_vr=implicit, little_endian=True)
    return path


@dataclass
class Peer:
    """What the archive holds, and how it behaves."""

    held: list[Dataset] = field(default_factory=list)
    store_status: int = 0x0000
    find_status: int | None = None
    alter: Callable[[Dataset], Dataset | None] = lambda dataset: dataset
    repeat: int = 1
    syntaxes: tuple[str, ...] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    storage: tuple[str, ...] = (RawDataStorage,)
    services: tuple[str, ...] = (FIND, GET, MOVE)
    destination_port: int | None = None
    calling: str | None = None
    queries: list[Dataset] = field(default_factory=list)
    port: int = 0
    during: Callable[[], None] = lambda: None

    def settings(self, retrieve: Retrieve = Retrieve.AUTO, **more: Any) -> PacsSettings:
        values = {"name": "peer", "host": LOOPBACK, "port": self.port, "aet": AET, "timeout_s": 5.0} | more
        return PacsSettings(retrieve=retrieve, **values)

    def on_store(self, event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        if self.store_status == 0x0000:
            self.held.append(dataset)
        return self.store_status

    def on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Everything that it holds, whatever was asked: as archives do with keys that they don't support."""
        self.queries.append(event.identifier)
        if self.find_status is not None:
            yield self.find_status, None
            return
        for dataset in self.held * self.repeat:
            answer = Dataset()
            for element in event.identifier:
                if element.keyword in dataset:
                    answer[element.tag] = dataset[element.tag]
            answer.QueryRetrieveLevel = event.identifier.QueryRetrieveLevel
            yield 0xFF00, answer

    def _wanted(self, identifier: Dataset) -> list[Dataset]:
        keys = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        return [held for held in self.held if all(identifier.get(key, held.get(key)) == held.get(key) for key in keys)]

    def on_get(self, event: evt.Event) -> Iterator[Any]:
        sent = [altered for held in self._wanted(event.identifier) if (altered := self.alter(held)) is not None]
        yield len(sent)
        for dataset in sent:
            self.during()
            if event.is_cancelled:
                yield 0xFE00, None
                return
            yield 0xFF00, dataset

    def on_move(self, event: evt.Event) -> Iterator[Any]:
        if self.destination_port is None:
            yield None, None
            return
        yield LOOPBACK, self.destination_port, {"ae_title": "IODEEP"}
        yield from self.on_get(event)


@contextmanager
def running(peer: Peer, **options: Any) -> Iterator[Peer]:
    """The peer at a free port until the block ends."""
    entity = AE(ae_title=AET)
    entity.require_called_aet = True
    if peer.calling:
        entity.require_calling_aet = [peer.calling]
    entity.add_supported_context(VERIFICATION)
    for service in peer.services:
        entity.add_supported_context(service)
    for sop_class in peer.storage:
        entity.add_supported_context(sop_class, list(peer.syntaxes), scu_role=True, scp_role=True)
        entity.add_requested_context(sop_class, list(peer.syntaxes))
    connections: list[socket.socket] = []

    def keep(event: evt.Event) -> None:
        wrapped = event.assoc.dul.socket
        if wrapped is not None and wrapped.socket is not None:
            connections.append(wrapped.socket)

    handlers = [
        (evt.EVT_C_ECHO, lambda _: 0x0000),
        (evt.EVT_C_STORE, peer.on_store),
        (evt.EVT_C_FIND, peer.on_find),
        (evt.EVT_C_GET, peer.on_get),
        (evt.EVT_C_MOVE, peer.on_move),
    ]
    server = entity.make_server(
        (LOOPBACK, 0),
        server_class=ThreadedAssociationServer,
        evt_handlers=[*handlers, (evt.EVT_CONN_OPEN, keep)],
        **options,
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        peer.port = server.server_address[1]
        yield peer
    finally:
        TCPServer.shutdown(server)
        thread.join()
        for association in entity.active_associations:
            association.abort()
        server.server_close()
        for connection in connections:  # pynetdicom leaves those open that were aborted
            connection.close()
