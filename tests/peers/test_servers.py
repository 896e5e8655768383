"""The peers themselves: they answer, and they are gone afterwards."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from pacs_bridge.embedded import answers_echo
from tests.peers.servers import PEERS, Peer

pytestmark = pytest.mark.peers


def test_a_peer_answers_an_echo(peer: Peer) -> None:
    assert answers_echo(peer.port, peer.aet)
    assert peer.version != "unknown"


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_gone_after_its_block(name: str, tmp_path: Path) -> None:
    with PEERS[name](tmp_path / "peer") as running:
        pid = running.process.pid
    assert not psutil.pid_exists(pid)
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect((running.host, running.port))
