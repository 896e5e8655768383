"""What ``iodeep.toml`` says about whom the site trusts with models (``[trust]``)."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from iodeep.serve_settings import FrozenSettings


class SignerRole(StrEnum):
    """As what somebody vouches for a model."""

    DEVELOPER = "developer"
    REGULATOR = "regulator"
    HOSPITAL = "hospital"


class TrustedKeySettings(FrozenSettings):
    """A key or a CA that the site trusts, and with what."""

    name: Annotated[str, Field(min_length=1)]
    file: Path
    """PEM: an Ed25519 public key, or a CA certificate whose holders sign with CMS."""
    roles: Annotated[tuple[SignerRole, ...], Field(min_length=1)]
    developers: tuple[str, ...] = ("*",)
    """Names of developers, as cards have them, whose models it may sign; ``*`` and ``?`` match anything."""
    modalities: tuple[str, ...] = ()
    """Modalities of models that it may sign; empty: all."""
    subject: str = "*"
    """Of a CA: the subject (RFC 4514) of certificates that count; ``*`` and ``?`` match anything."""
    until: date | None = None
    """The last day on which it is trusted."""


class RevocationSettings(FrozenSettings):
    """A list of what is withdrawn, the public key that it is signed with, and where it is found."""

    key: Path
    file: Path | None = None
    """Where commands write it, and administrators put it."""
    pacs: str = ""
    """The archive that is asked for it besides: a name of ``iodeep.toml``, or a URL."""
    every_s: Annotated[float, Field(gt=0)] = 300.0
    """How old the archive's last answer may be."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.file is None and not self.pacs:
            raise ValueError("needs file or pacs")
        return self


class TrustSettings(FrozenSettings):
    """Whom the site trusts with what, and what it asks of a model besides."""

    keys: tuple[TrustedKeySettings, ...] = ()
    roles: tuple[SignerRole, ...] = (SignerRole.DEVELOPER,)
    """As what a model has to be signed, each by somebody who is trusted for it."""
    unsigned: Literal["refuse", "warn"] | None = None
    """None: the service refuses, the command line warns."""
    minimum_cases: Annotated[int, Field(ge=0)] = 0
    licences: tuple[str, ...] = ()
    """SPDX identifiers that are accepted; empty: all."""
    research: bool = False
    """Whether models that are for research alone may run."""
    pkcs11_module: Path | None = None
    """The PKCS #11 library of the token that holds the site's own signing keys."""
    time_authorities: tuple[Path, ...] = ()
    """PEM files with the certificates of time authorities (RFC 3161), or of the CAs that certify them."""
    revocation: tuple[RevocationSettings, ...] = ()
    """The site's own list, and those of others."""

    @field_validator("revocation", mode="before")
    @classmethod
    def _one_list_is_several(cls, given: object) -> object:
        """``[trust.revocation]`` is as good as ``[[trust.revocation]]``."""
        return (given,) if isinstance(given, dict | RevocationSettings) else given

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [key.name for key in self.keys]
        if len(set(names)) != len(names):
            raise ValueError("two trusted keys have the same name")
        return self
