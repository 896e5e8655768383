"""The states of a model at a site, from its arrival to its approval and its end, as a chain of signed records."""

from __future__ import annotations

from iodeep.trust.lifecycle.record import PersonalSignature, StateRecord
from iodeep.trust.lifecycle.register import Register
from iodeep.trust.lifecycle.states import SERVICE, ModelState, RegisteredRelease, Standing, objection

__all__ = [
    "SERVICE",
    "ModelState",
    "PersonalSignature",
    "Register",
    "RegisteredRelease",
    "Standing",
    "StateRecord",
    "objection",
]
