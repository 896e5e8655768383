"""What ``iodeep.toml`` says about how a model comes to be approved at this site (``[lifecycle]``)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from iodeep.serve_settings import FrozenSettings


class Act(StrEnum):
    """What a person may do to a model's state."""

    QUARANTINE = "quarantine"
    SHADOW = "shadow"
    APPROVE = "approve"
    RETIRE = "retire"
    REVOKE = "revoke"


class PersonSettings(FrozenSettings):
    """Somebody who decides, and is known by a key of their own, or by their sign-in at the service."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    key: Path | None = None
    """PEM: an Ed25519 public key."""
    sign_in: bool = False
    """Whether what they do over the API, signed in under this name, counts without a signature by their key."""
    may: Annotated[tuple[Act, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _known_somehow(self) -> Self:
        if self.key is None and not self.sign_in:
            raise ValueError(f"{self.name} needs a key, or sign_in = true")
        return self


class LifecycleSettings(FrozenSettings):
    """How a model comes to be approved, and who decides."""

    required: bool | None = None
    """Whether only approved models run. None: the service asks for it; commands do where this section exists."""
    approvals: Literal[1, 2] = 1
    """How many different people have to approve a model."""
    skip_shadow: bool = False
    """Whether a model may be approved that never ran as a shadow, without the approver saying so."""
    shadow_archive: str = ""
    """The archive that results of models in the state ``shadow`` go to: a name of ``iodeep.toml``, or a URL."""
    key: Path | None = None
    """The register's own Ed25519 key, a PEM file without a passphrase; in the data folder where left out."""
    people: tuple[PersonSettings, ...] = ()
    """Who may do what; an act that nobody is named for may be done by anyone who may run the command."""
    store_records: bool = False
    """Whether each change's record is stored in the archive too, in the model's study."""

    @model_validator(mode="after")
    def _people_can_be_told_apart(self) -> Self:
        names = [person.name for person in self.people]
        if len({name.casefold() for name in names}) != len(names):
            raise ValueError("two people have the same name")
        if self.approvals > len(self.who_may(Act.APPROVE)) and self.approvals > 1:
            raise ValueError(
                "approvals = 2 needs two people who may approve, each with a key or sign_in: [[lifecycle.people]]"
            )
        return self

    def who_may(self, act: Act) -> tuple[PersonSettings, ...]:
        """Those who are named for an act; nobody: it needs no key."""
        return tuple(person for person in self.people if act in person.may)


def states_count(settings: LifecycleSettings | None, *, serving: bool) -> bool:
    """Whether only approved models may run."""
    if settings is None or settings.required is None:
        return serving or settings is not None
    return settings.required
