"""DICOMweb (PS3.18): QIDO-RS, WADO-RS and STOW-RS behind the :class:`iodeep.ports.Archive` port."""

from pacs_bridge.dicomweb.archive import DicomWebArchive

__all__ = ["DicomWebArchive"]
