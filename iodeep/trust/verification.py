"""Every digest of a packed model, checked while streaming, told in sentences; nothing is raised for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import IODeepError
from iodeep.model_object import ModelDescriptor, PayloadFile, read_descriptor
from iodeep.model_object.assemble import find_parts
from iodeep.model_object.check_part import WholeFile, check_payload
from iodeep.model_object.counting import counter
from iodeep.ports import ProgressSink, no_progress


@dataclass(frozen=True)
class Check:
    """One thing that was checked: whether it holds, and a sentence."""

    subject: str
    holds: bool
    sentence: str


@dataclass(frozen=True)
class VerificationReport:
    """All checks of one model; ``descriptor`` is None where it could not be read."""

    descriptor: ModelDescriptor | None
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether everything holds."""
        return self.descriptor is not None and all(check.holds for check in self.checks)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, one sentence a check."""
        return tuple(check.sentence for check in self.checks)


def verify_object(
    descriptor_path: Path, part_paths: Iterable[Path], *, progress: ProgressSink = no_progress
) -> VerificationReport:
    """Check the descriptor and every part that it names. ``part_paths``: files in any order, or folders.

    The signature is another matter, and so is whether the network runs: this says that the bytes are those packed.
    """
    try:
        descriptor = read_descriptor(descriptor_path)
    except IODeepError as error:
        return VerificationReport(None, (_wrong("descriptor", error),))
    checks = [_descriptor_check(descriptor), *_self_test_checks(descriptor)]
    found, problems = _find_each(descriptor, part_paths)
    checks += problems
    advance = counter("verify", descriptor.total_bytes, progress)
    for file in descriptor.manifest.files:
        checks += _file_checks(descriptor, file, found, advance)
    return VerificationReport(descriptor, tuple(checks))


def _descriptor_check(descriptor: ModelDescriptor) -> Check:
    sentence = (
        f"The manifest of {descriptor.card.name} {descriptor.card.version} holds (SHA-256"
        f" {descriptor.identity.manifest_sha256}), and the attributes that it was found by agree with it."
    )
    return Check("descriptor", holds=True, sentence=sentence)


def _self_test_checks(descriptor: ModelDescriptor) -> list[Check]:
    try:
        test = descriptor.self_test
    except IODeepError as error:
        return [_wrong("self-test", error)]
    sentence = "The self-test's bytes hold; run it to see whether the network does." if test else "It has no self-test."
    return [Check("self-test", holds=True, sentence=sentence)]


def _find_each(descriptor: ModelDescriptor, paths: Iterable[Path]) -> tuple[dict[str, Path], list[Check]]:
    """Where each part lies by SOP Instance UID; what is wrong with one file doesn't hide what is wrong with another."""
    found: dict[str, Path] = {}
    problems: list[Check] = []
    for path in paths:
        try:
            parts = find_parts(descriptor, [path]).by_uid
        except IODeepError as error:
            problems.append(_wrong(path.name, error))
            continue
        twice = [uid for uid in parts if uid in found]
        problems += [_twice(descriptor, uid, found[uid], parts[uid]) for uid in twice]
        found |= parts
    return found, problems


def _twice(descriptor: ModelDescriptor, uid: str, first: Path, second: Path) -> Check:
    part = str(descriptor.part_by_uid[uid])
    return Check(
        part, holds=False, sentence=f"Wrong: {part} is there twice, as {first} and {second}. Remove one of them."
    )


def _file_checks(
    descriptor: ModelDescriptor, file: PayloadFile, found: dict[str, Path], advance: Callable[[int], None]
) -> Iterator[Check]:
    """One check for every part that is wrong, or one for the whole file."""
    whole = WholeFile(file)
    wrong = False
    parts = descriptor.manifest.parts_of(file.name)
    for part in parts:
        path = found.get(part.sop_instance_uid)
        try:
            if path is None:
                wrong = True
                sentence = f"Missing: {part} (SOP Instance UID {part.sop_instance_uid}). Fetch the model again."
                yield Check(str(part), holds=False, sentence=sentence)
            else:
                check_payload(descriptor, part, path, advance, whole)
        except IODeepError as error:
            wrong = True
            yield _wrong(str(part), error)
    if not wrong:
        yield _whole_check(file, whole, len(parts))


def _whole_check(file: PayloadFile, whole: WholeFile, count: int) -> Check:
    try:
        whole.check()
    except IODeepError as error:
        return _wrong(file.name, error)
    parts = "its one part" if count == 1 else f"all {count} parts"
    return Check(file.name, holds=True, sentence=f"{file.name} holds: {file.length} bytes in {parts}.")


def _wrong(subject: str, error: IODeepError) -> Check:
    return Check(subject, holds=False, sentence=f"Wrong: {error}")
