"""Whether a model is what it says: digests and the self-test."""

from __future__ import annotations

from iodeep.trust.self_test import SelfTestVerdict, judge_self_test
from iodeep.trust.verification import Check, VerificationReport, verify_object

__all__ = ["Check", "SelfTestVerdict", "VerificationReport", "judge_self_test", "verify_object"]
