"""Unified Procedure Steps: a worklist that others use over UPS-RS (PS3.18 section 11), and the performer of its work.

::

    worklist = Worklist.open(database)                       # Engine of SQLAlchemy
    app.include_router(worklist_router(worklist, reading=[...], changing=[...]), prefix="/dicom-web")
    with Performer(worklist, board, settings).running(): ...
"""
