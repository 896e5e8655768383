"""Unified Procedure Steps: a worklist that others use over UPS-RS (PS3.18 section 11), and the performer of its work.

::

    worklist = Worklist(database_engine(url))
    app.include_router(worklist_router(worklist, reading=[...], changing=[...]), prefix="/dicom-web")
    performer = Performer(worklist, board, settings)   # performer.once() now and then, or performer.run(stop)
"""

from iodeep.service.worklist.performer import Performer
from iodeep.service.worklist.pulling import Puller
from iodeep.service.worklist.routes import worklist_router
from iodeep.service.worklist.worklist import Worklist

__all__ = ["Performer", "Puller", "Worklist", "worklist_router"]
