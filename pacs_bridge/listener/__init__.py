"""Our own storage SCP (PS3.4 Annex B), to which PACSs and modalities route series."""

from pacs_bridge.listener.instance import Received
from pacs_bridge.listener.listener import Events, Listener
from pacs_bridge.listener.room import Room
from pacs_bridge.listener.spool import Spool

__all__ = ["Events", "Listener", "Received", "Room", "Spool"]
