"""STOW-RS (PS3.18 10.5): parts to files as they come in, then into the archive; each instance is answered for by name.

An instance is called stored when the archive accepted it and finds it again. Where the archive refuses one of several,
each is sent alone, so that the answer says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iodeep.errors import ArchiveError, ArchiveUnreachableError, InputError, IODeepError, LocalStorageError
from iodeep.ports import Archive, Cancellation, Level
from pacs_bridge.dicomweb.multipart import MultipartError, PartReader, parameters_of
from pacs_bridge.gateway.errors import TooLargeError, UnsupportedMediaTypeError
from pacs_bridge.gateway.media import DICOM, RELATED
from pacs_bridge.part10 import Instance, read_instance

PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
_SYNTAX = 0xC122
_CLASS = 0x0122


@dataclass(frozen=True)
class Received:
    """What came in: instances in files, and why parts are none."""

    instances: tuple[Instance, ...]
    unreadable: tuple[str, ...]


@dataclass
class Outcome:
    """What became of each instance."""

    stored: list[Instance] = field(default_factory=list)
    failed: list[tuple[Instance, int, str]] = field(default_factory=list)
    unreadable: Sequence[str] = ()

    @property
    def status(self) -> int:
        """200 where all is stored, 409 where nothing is, 202 between (PS3.18 table 10.5.3-1)."""
        wrong = bool(self.failed or self.unreadable)
        if not self.stored:
            return 409 if self.failed else 400
        return 202 if wrong else 200


def receive(content_type: str, chunks: Iterator[bytes], most_bytes: int, folder: Path) -> Received:
    """The body's parts as files in ``folder``; an incomplete body is an error, and nothing of it is stored.

    Raises :class:`~pacs_bridge.gateway.errors.UnsupportedMediaTypeError`,
    :class:`~pacs_bridge.gateway.errors.TooLargeError`, :class:`iodeep.errors.InputError` and
    :class:`iodeep.errors.LocalStorageError`.
    """
    paths: list[Path] = []
    try:
        for number, body in enumerate(_parts(content_type, _bounded(chunks, most_bytes))):
            paths.append(folder / f"{number}.part")
            with paths[-1].open("wb") as file:
                file.writelines(body)
    except MultipartError as error:
        raise InputError("the request's body is not whole", found=str(error), remedy="Send it again.") from error
    except OSError as error:
        raise LocalStorageError(
            f"what was sent cannot be kept: {error.strerror}", remedy="Make room on the disk of the data folder."
        ) from error
    return _read(paths)


def store(archive: Archive, received: Received, study: str, cancel: Cancellation) -> Outcome:
    """Into the archive: together if it takes all of them, one by one otherwise."""
    outcome = Outcome(unreadable=received.unreadable)
    wanted = []
    for instance in received.instances:
        if study and instance.study != study:
            outcome.failed.append((instance, DOES_NOT_MATCH, f"it belongs to study {instance.study}"))
        else:
            wanted.append(instance)
    if wanted:
        _send(archive, wanted, outcome, cancel)
    return outcome


def response(outcome: Outcome, root: str) -> Mapping[str, Any]:
    """The Store Instances Response Module (PS3.18 Annex I) as DICOM JSON."""
    document: dict[str, Any] = {}
    studies = {instance.study for instance in outcome.stored}
    if len(studies) == 1:
        document["00081190"] = _value("UR", f"{root}/studies/{studies.pop()}")
    if outcome.failed:
        document["00081198"] = _items([_failed(*each) for each in outcome.failed])
    if outcome.stored:
        document["00081199"] = _items([_stored(each, root) for each in outcome.stored])
    if outcome.unreadable:
        document["0008119A"] = _items([{"00081197": _value("US", CANNOT_UNDERSTAND)} for _ in outcome.unreadable])
    return document


def _parts(content_type: str, chunks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    media_type, parameters = parameters_of(content_type)
    if media_type == DICOM:
        yield chunks
        return
    if media_type != RELATED or parameters.get("type", DICOM).lower() != DICOM or not parameters.get("boundary"):
        raise UnsupportedMediaTypeError(
            "instances are not taken in this media type",
            expected=f'{RELATED}; type="{DICOM}"; boundary=...',
            found=content_type or "no Content-Type",
        )
    reader = PartReader(chunks, parameters["boundary"])
    while (header := reader.next_part()) is not None:
        part_type, _ = parameters_of(header.get("content-type", DICOM))
        if part_type != DICOM:
            raise UnsupportedMediaTypeError("a part is no DICOM file", expected=DICOM, found=part_type)
        yield reader.body()


def _bounded(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    count = 0
    for chunk in chunks:
        count += len(chunk)
        if count > most:
            raise TooLargeError(
                "the request is too large",
                expected=f"at most {most} bytes (serve.http.max_body_bytes)",
                remedy="Send the instances in several requests.",
            )
        yield chunk


def _read(paths: Sequence[Path]) -> Received:
    instances: dict[str, Instance] = {}
    unreadable = []
    for path in paths:
        try:
            instance = read_instance(path)
        except InputError as error:
            unreadable.append(error.problem)
            continue
        if instance.uid in instances:
            unreadable.append(f"SOP Instance UID {instance.uid} comes twice")
        else:
            instances[instance.uid] = instance
    return Received(tuple(instances.values()), tuple(unreadable))


def _send(archive: Archive, instances: Sequence[Instance], outcome: Outcome, cancel: Cancellation) -> None:
    try:
        archive.store([instance.path for instance in instances], cancel=cancel)
        accepted = list(instances)
    except ArchiveUnreachableError:  # lost on the way: what has arrived is found, or nobody can tell
        accepted = list(instances)
    except ArchiveError:
        accepted = _one_by_one(archive, instances, outcome, cancel)
    _find_again(archive, accepted, outcome)


def _one_by_one(
    archive: Archive, instances: Sequence[Instance], outcome: Outcome, cancel: Cancellation
) -> list[Instance]:
    accepted = []
    for instance in instances:
        try:
            archive.store([instance.path], cancel=cancel)
            accepted.append(instance)
        except ArchiveError as error:
            outcome.failed.append((instance, _reason(error), str(error)))
    return accepted


def _find_again(archive: Archive, instances: Sequence[Instance], outcome: Outcome) -> None:
    """Archives lose instances that they accepted: over their limits, or where two send at once."""
    for study, series in {(each.study, each.series) for each in instances}:
        match = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        try:
            found = {each["SOPInstanceUID"] for each in archive.find(Level.IMAGE, match)}
            words = "it was sent, and the archive does not find it"
        except ArchiveUnreachableError:
            raise
        except IODeepError as error:
            found, words = set(), f"it was sent, and the archive cannot be asked whether it has it: {error}"
        for instance in instances:
            if (instance.study, instance.series) != (study, series):
                continue
            if instance.uid in found:
                outcome.stored.append(instance)
            else:
                outcome.failed.append((instance, PROCESSING_FAILURE, words))


def _reason(error: ArchiveError) -> int:
    """Failure Reason (0008,1197) by PS3.18 table I.2-2, as far as the archive's error tells."""
    said = str(error)
    for text, reason in (("0xA7", OUT_OF_RESOURCES), ("0xA9", DOES_NOT_MATCH), ("0xC", CANNOT_UNDERSTAND)):
        if text in said:
            return reason
    if "does not take" in said:
        return _SYNTAX
    return _CLASS if "takes no C-STORE" in said or "0x0122" in said else PROCESSING_FAILURE


def _failed(instance: Instance, reason: int, words: str) -> Mapping[str, Any]:
    return {
        "00081150": _value("UI", instance.sop_class),
        "00081155": _value("UI", instance.uid),
        "00081197": _value("US", reason),
        "00000902": _value("LO", words[:64]),
    }


def _stored(instance: Instance, root: str) -> Mapping[str, Any]:
    url = f"{root}/studies/{instance.study}/series/{instance.series}/instances/{instance.uid}"
    return {
        "00081150": _value("UI", instance.sop_class),
        "00081155": _value("UI", instance.uid),
        "00081190": _value("UR", url),
    }


def _value(vr: str, value: object) -> Mapping[str, Any]:
    return {"vr": vr, "Value": [value]}


def _items(items: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"vr": "SQ", "Value": list(items)}
