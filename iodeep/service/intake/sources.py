"""Which archive a series is known to: the one that sent it, by its AE title, else the default."""

from __future__ import annotations

from iodeep.settings import Settings


def source_of(settings: Settings, sender: str) -> str | None:
    """The name of the archive that calls itself so; None for a modality or router that is no archive of ours."""
    return next((name for name, pacs in settings.pacs.items() if pacs.aet == sender), None)


def holder_of(settings: Settings, sender: str) -> str:
    """The archive whose models are for the series, and from which it can be fetched again.

    Raises :class:`~iodeep.errors.SettingsError` where the sender is none and there is no default.
    """
    return source_of(settings, sender) or settings.archive(None).name
