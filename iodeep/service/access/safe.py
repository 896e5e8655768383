"""What `iodeep serve` refuses to start with: an open door on a network."""

from __future__ import annotations

from pathlib import Path

from iodeep.serve_settings import ServeSettings


def check_safe_to_serve(settings: ServeSettings, api_keys: Path) -> None:
    """Nothing listens on another address than loopback without knowing its callers.

    Errors: :class:`iodeep.errors.SettingsError` naming the setting and both ways out.
    """
    raise NotImplementedError
