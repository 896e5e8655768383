"""How work arrives by itself: series that are routed to us, and archives that are asked on a schedule."""

from iodeep.service.intake.spool import spool_folder

__all__ = ["spool_folder"]
