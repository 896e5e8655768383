"""A listener in a process of its own, for tests that kill it: ``python -m tests.peers.listener_process SPOOL PORT``."""

from __future__ import annotations

import sys
from pathlib import Path

from iodeep.serve_settings import ListenerSettings
from pacs_bridge.listener import Listener, Received, Room, Spool


class Silent:
    """Nobody is told."""

    def received(self, _: Received, /) -> None:
        return

    def refused(self, sender: str, address: str, reason: str, /) -> None:
        return


def main(folder: Path, port: int) -> None:
    spool = Spool(folder)
    with Listener(ListenerSettings(port=port), spool, Room(folder, 0, None), Silent()):
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
