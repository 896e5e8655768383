"""Every way to a PACS; the only place that knows pynetdicom and DICOMweb."""

from __future__ import annotations

from iodeep.errors import SettingsError
from iodeep.ports import Archive
from iodeep.settings import PacsSettings, Retrieve

__all__ = ["open_archive"]


def open_archive(settings: PacsSettings) -> Archive:
    """The archive as its settings have it: DICOMweb where they say ``web`` or name nothing else, DIMSE otherwise.

    Nothing is connected yet. Raises :class:`iodeep.errors.SettingsError` where ``web`` lacks its address.
    """
    if settings.retrieve is Retrieve.WEB or settings.host is None:
        return _dicomweb(settings)
    from pacs_bridge.dimse import DimseArchive

    return DimseArchive(settings)


def _dicomweb(settings: PacsSettings) -> Archive:
    if settings.dicomweb is None:
        raise SettingsError(
            f"the archive {settings.name} has no DICOMweb address",
            expected="dicomweb, because retrieve is 'web'",
            remedy='Add dicomweb = "http://host:port/root" to it in iodeep.toml, or choose retrieve = "auto".',
        )
    from pacs_bridge.dicomweb import DicomWebArchive

    return DicomWebArchive(settings)
