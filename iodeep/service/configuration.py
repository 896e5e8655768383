"""Where settings come from: the one place that looks at the environment and at ``iodeep.toml``.

The first file that exists is used: ``--config``, ``IODEEP_CONFIG``, ``./iodeep.toml``, the user's, the machine's.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from iodeep.errors import SettingsError
from iodeep.settings import Settings, settings_of_document

FILE_NAME = "iodeep.toml"


@dataclass(frozen=True)
class Configuration:
    """Settings, the file that they came from (None: defaults), and where models are cached."""

    settings: Settings
    origin: Path | None
    cache: Path


def load_configuration(explicit: Path | None = None) -> Configuration:
    """The site's settings; a file that was named has to exist."""
    origin = _named_file(explicit) or next((path for path in _usual_places() if path.is_file()), None)
    cache = Path(os.environ.get("IODEEP_CACHE") or platformdirs.user_cache_path("iodeep"))
    settings = settings_of_document(_document(origin), str(origin)) if origin else Settings()
    return Configuration(settings, origin, cache)


def secret(text: str) -> str:
    """What a setting says, or what the variable holds that it names as ``env:NAME``."""
    scheme, _, name = text.partition(":")
    if scheme != "env":
        return text
    if not os.environ.get(name):
        raise SettingsError(
            f"the environment variable {name} is not set",
            expected=f"the value that iodeep.toml means by env:{name}",
            remedy="Set it where the service is started (EnvironmentFile= in a systemd unit).",
        )
    return os.environ[name]


def signing_passphrase() -> str | None:
    """The passphrase of a signing key, where the variable ``IODEEP_KEY_PASSPHRASE`` holds it; None: ask the person."""
    return os.environ.get("IODEEP_KEY_PASSPHRASE")


def token_pin() -> str | None:
    """The PIN of the token with a signing key, where the variable ``IODEEP_PKCS11_PIN`` holds it; None: ask the person."""
    return os.environ.get("IODEEP_PKCS11_PIN")


@dataclass(frozen=True)
class ServiceAddress:
    """Where a running service is, and what it knows us by."""

    url: str
    api_key: str


def service_address() -> ServiceAddress | None:
    """The service that ``IODEEP_URL`` and ``IODEEP_API_KEY`` name; None: the one on this machine."""
    url = os.environ.get("IODEEP_URL", "").rstrip("/")
    return ServiceAddress(url, os.environ.get("IODEEP_API_KEY", "")) if url else None


def data_folder(configuration: Configuration) -> Path:
    """Where the service keeps its data: as set, else as ``IODEEP_DATA`` says, else the machine's folder for root and the user's for others."""
    return data_folder_of(configuration.settings)


def data_folder_of(settings: Settings) -> Path:
    """The same of the settings alone."""
    if settings.serve.data is not None:
        return settings.serve.data.expanduser().absolute()
    if os.environ.get("IODEEP_DATA"):
        return Path(os.environ["IODEEP_DATA"]).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/iodeep")
    return platformdirs.user_data_path("iodeep")


def _named_file(explicit: Path | None) -> Path | None:
    named = explicit or (Path(os.environ["IODEEP_CONFIG"]) if os.environ.get("IODEEP_CONFIG") else None)
    if named and not named.is_file():
        raise SettingsError(
            f"the settings file {named} does not exist", remedy="Correct --config or the variable IODEEP_CONFIG."
        )
    return named


def _usual_places() -> list[Path]:
    return [
        Path(FILE_NAME),
        platformdirs.user_config_path("iodeep") / FILE_NAME,
        Path("/etc/iodeep") / FILE_NAME,
    ]


def _document(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
