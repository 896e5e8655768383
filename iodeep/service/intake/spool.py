"""What a job may read from this host's spool instead of fetching it: exactly the series that was asked for, or nothing."""

from __future__ import annotations

from pathlib import Path

from pacs_bridge.listener.spool import instances_in
from pacs_bridge.part10 import is_uid


def spool_folder(spool: Path, series_uid: str, instances: int | None) -> Path | None:
    """The folder of the series where this host holds just as many instances as the job is about; None: fetch it.

    ``spool`` is ``context.folders.spool``, ``instances`` is ``JobRequest.instances``. None for a job that does not say
    how many (it was not routed here), on a host without this spool, while more come in, and after the files were deleted.
    The folder holds ``*.dcm`` files, each whole; list it once, as more may come. They stay until the job is final.
    """
    if instances is None or not is_uid(series_uid):
        return None
    found = [folder for folder in spool.glob(f"*/{series_uid}") if folder.is_dir()]
    if len(found) != 1 or sum(1 for _ in instances_in(found[0])) != instances:
        return None
    return found[0]
