"""What a decision chooses among: models with their cards, and what was found in the archive but cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from iodeep.card import ModelCard
from iodeep.model_object.identity import ModelIdentity
from iodeep.selection.profile import Profile, profile_of


@dataclass(frozen=True)
class Candidate:
    """A model that may be chosen."""

    card: ModelCard
    identity: ModelIdentity | None = None
    """None for a bare card whose network doesn't exist yet: it can be planned with, not run."""
    where: str = ""
    """The archive or folder that it was found in."""
    total_bytes: int | None = None
    study_instance_uid: str = ""
    retired: str = ""
    """Why it must no longer be used, where that is so."""
    distrusted: str = ""
    """Why the site's trust policy does not accept it, where that is so."""
    unapproved: str = ""
    """Why it is not one that the site has approved, where that is asked for and so."""

    @cached_property
    def profile(self) -> Profile:
        """What selection reads of the card."""
        return profile_of(self.card)

    @cached_property
    def name(self) -> str:
        """Name and version, as shown to people."""
        return f"{self.profile.name} {self.profile.version}"

    @cached_property
    def uid(self) -> str:
        """The descriptor's SOP Instance UID; the card's token and version for a bare card."""
        return self.identity.sop_instance_uid if self.identity else f"{self.profile.token}-{self.profile.version}"


@dataclass(frozen=True)
class UnusableModel:
    """Something found where models are kept that can never be chosen: damaged, foreign, or prior art."""

    name: str
    uid: str
    where: str
    reason: str
    study_instance_uid: str = ""
