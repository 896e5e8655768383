"""A PACS over DIMSE (PS3.7): C-ECHO, C-FIND, C-STORE, C-GET and C-MOVE."""

from pacs_bridge.dimse.archive import DimseArchive

__all__ = ["DimseArchive"]
