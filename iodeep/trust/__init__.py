"""Whether a model is what it says: digests and the self-test."""

from __future__ import annotations

from iodeep.trust.digests import content_sha256, file_sha256
from iodeep.trust.self_test import SelfTestVerdict, judge_self_test
from iodeep.trust.verification import Check, VerificationReport, verify_object

__all__ = [
    "Check",
    "SelfTestVerdict",
    "VerificationReport",
    "content_sha256",
    "file_sha256",
    "judge_self_test",
    "verify_object",
]
