"""`iodeep serve`: one tree of processes that share a database and a folder."""

from iodeep.service.serving.context import DataFolders, ServeContext

__all__ = ["DataFolders", "ServeContext"]
