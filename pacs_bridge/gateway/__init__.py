"""DICOMweb (PS3.18) in front of archives that speak DIMSE only: QIDO-RS, WADO-RS and STOW-RS over the archive port.

::

    gateway = Gateway(context.open_archive, folder, 4 << 30)
    app.include_router(gateway.router(reading=[Depends(viewer)], storing=[Depends(clinician)]), prefix="/dicom-web")
    ...
    gateway.close()

Who may do what is not decided here: the dependencies that are passed in do. ``/dicom-web/studies`` asks the default
archive, ``/dicom-web/pacs/NAME/studies`` the one of that name.
"""

from pacs_bridge.gateway.gateway import Access, Accessed, Gateway

__all__ = ["Access", "Accessed", "Gateway"]
