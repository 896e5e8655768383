"""The self-test on this host: a model runs only where its own small input gives what was recorded when it was packed.

A result counts for one manifest and one runtime fingerprint (:mod:`iodeep.inference.fingerprint`), so that an upgrade of the runtime,
another provider or another processor asks for it anew. Doubt (no self-test, one that could not be run) is a failure.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from iodeep.errors import CancelledError, IODeepError, SelfTestError
from iodeep.inference.fingerprint import RuntimeFacts
from iodeep.trust import SelfTestVerdict, judge_self_test

if TYPE_CHECKING:
    from iodeep.inference import Engine
    from iodeep.model_object import ModelDescriptor
    from iodeep.ports import Cancellation


@dataclass(frozen=True)
class SelfTestResult:
    """What came of a model's self-test on one runtime."""

    manifest_sha256: str
    name: str
    """Of the model with its version, for people."""
    sop_instance_uid: str
    runtime: RuntimeFacts
    passed: bool
    dice: tuple[float, ...]
    """Of each segment, in the card's order; empty where nothing comparable came out."""
    largest_difference: float | None
    """Of probabilities, where some were recorded."""
    seconds: float
    sentences: tuple[str, ...]
    when: datetime
    host: str = ""

    @property
    def fingerprint(self) -> str:
        """Of the runtime."""
        return self.runtime.fingerprint

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return " ".join(self.sentences)


class SelfTestBook(Protocol):
    """Where results are kept; the service's is :class:`iodeep.service.jobs.self_tests.SelfTestTable`."""

    def find(self, manifest_sha256: str, fingerprint: str) -> SelfTestResult | None:
        """The newest result of the model on that runtime."""

    def keep(self, result: SelfTestResult) -> None:
        """Write one down, in place of an older one."""


def self_tested(
    descriptor: ModelDescriptor, files: Mapping[str, Path], engine: Engine, cancel: Cancellation | None = None
) -> SelfTestResult:
    """Run the object's own small input through the engine, and judge it within the declared tolerance.

    ``files``: verified payload files. Errors: :class:`iodeep.errors.InferenceError` where no runtime could be started at all,
    :class:`iodeep.errors.CancelledError`; everything else is a result that did not pass.
    """
    runtime, begun = engine.runtime, time.perf_counter()
    try:
        verdict = _verdict(descriptor, files, engine, cancel)
    except CancelledError:
        raise
    except IODeepError as error:
        verdict = _failed(f"The self-test could not be run: {error}")
    return SelfTestResult(
        manifest_sha256=descriptor.identity.manifest_sha256,
        name=f"{descriptor.card.name} {descriptor.card.version}",
        sop_instance_uid=descriptor.identity.sop_instance_uid,
        runtime=runtime,
        passed=verdict.passed,
        dice=verdict.dice,
        largest_difference=verdict.largest_probability_difference,
        seconds=time.perf_counter() - begun,
        sentences=verdict.sentences,
        when=datetime.now(UTC).replace(microsecond=0),
        host=socket.gethostname(),
    )


def need_self_test(
    book: SelfTestBook,
    descriptor: ModelDescriptor,
    files: Mapping[str, Path],
    engine: Engine,
    cancel: Cancellation | None = None,
) -> SelfTestResult:
    """The passed result of the model on this engine's runtime; one that was never tested there is tested now, and that is kept.

    Errors: :class:`iodeep.errors.SelfTestError` where it failed, now or when it was tested.
    """
    found = book.find(descriptor.identity.manifest_sha256, engine.runtime.fingerprint)
    if found is None:
        found = self_tested(descriptor, files, engine, cancel)
        book.keep(found)
    if not found.passed:
        raise self_test_error(found)
    return found


def self_test_error(failed: SelfTestResult) -> SelfTestError:
    """The error for a person."""
    return SelfTestError(
        f"the self-test of {failed.name} fails on {failed.host or 'this host'}, so the model is not run there",
        expected="what was recorded when it was packed, within the card's tolerance",
        found=f"with {failed.runtime}: {failed.sentence}",
        remedy="Compare with `iodeep self-test --all`; ask whoever packed it, or run it on another host. Once the cause is gone, "
        "`iodeep self-test` on this host clears it.",
    )


def _verdict(
    descriptor: ModelDescriptor, files: Mapping[str, Path], engine: Engine, cancel: Cancellation | None
) -> SelfTestVerdict:
    test = descriptor.self_test
    if test is None:
        return _failed("The object carries no self-test, so nothing shows that it works here.")
    asked = test.mean_foreground_probability is not None
    prediction = engine.run(descriptor.card, files, dict(test.inputs), probabilities=asked, cancel=cancel)
    return judge_self_test(test, prediction, descriptor.card.self_test)


def _failed(sentence: str) -> SelfTestVerdict:
    return SelfTestVerdict(False, False, (), None, (sentence,))
