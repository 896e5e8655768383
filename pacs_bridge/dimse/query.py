"""C-FIND in the Study Root model (PS3.4 C.4.1), hierarchical, one answer for each entity, filtered again locally."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode

from iodeep.errors import ArchiveError
from iodeep.ports import Attributes, Level
from pacs_bridge.dimse import commands, diagnosis
from pacs_bridge.dimse.association import Association, Context, Message
from pacs_bridge.dimse.commands import Command
from pacs_bridge.dimse.levels import ABOVE, level_of
from pacs_bridge.matching import UNIQUE_KEYS, dataset_attributes, fitting_answers, is_universal, keywords_of
from pacs_bridge.part10 import UNREADABLE

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOST_STUDIES = 2000
"""Studies that are asked about one by one, where an archive wants the study of a series named."""


def find(association: Association, level: Level, match: Attributes, include: Sequence[str]) -> list[Attributes]:
    """All entities of ``level`` that fit ``match``, each with every keyword of ``match`` and ``include``.

    Keys of the levels above are asked for there first (PS3.4 C.4.1.2.1), and their values joined to each answer.
    """
    keywords_of(level, match, include)
    answers: list[Attributes] = []
    for parent in _parents(association, level, match, include):
        own = {keyword: value for keyword, value in match.items() if level_of(keyword, level) is level}
        wanted = [keyword for keyword in include if level_of(keyword, level) is level]
        answers += [{**parent, **found} for found in _of_one_parent(association, level, parent, own, wanted)]
    return answers


def find_across(association: Association, match: Attributes, include: Sequence[str], most: int) -> list[Attributes]:
    """Instances of all studies, with their UIDs, by one relational query (PS3.4 C.4.1.2.2), negotiated or not.

    What is missing may be there. ArchiveError where there are more than ``most``, as where an archive ignores the keys.
    """
    uids = UNIQUE_KEYS[Level.IMAGE]
    found: list[Attributes] = []
    for answer in _asked(association, Level.IMAGE, {**dict.fromkeys((*uids, *include), ""), **match}):
        if all(answer[uid] for uid in uids):
            found.append(answer)
        if len(found) > most:
            raise ArchiveError(f"{association.parties} answers with more than was asked for")
    return found


def _parents(association: Association, level: Level, match: Attributes, include: Sequence[str]) -> list[dict[str, str]]:
    """The entities above that the answers hang on, as their unique keys and what was asked of them."""
    above = ABOVE[level]
    if above is None:
        return [{}]
    upper = {keyword: value for keyword, value in match.items() if level_of(keyword, level) is not level}
    wanted = [keyword for keyword in include if level_of(keyword, level) is not level]
    keys = UNIQUE_KEYS[above]
    if set(upper) | set(wanted) <= set(keys) and all(not is_universal(upper.get(key, "")) for key in keys):
        return [dict(zip(keys, uids, strict=True)) for uids in itertools.product(*(upper[k].split("\\") for k in keys))]
    series = match.get("SeriesInstanceUID", "")
    if level is Level.SERIES and not upper and not is_universal(series):
        return _studies_of_series(association, series, [*wanted, *keys])
    return [dict(found) for found in find(association, above, upper, [*wanted, *keys])]


def _studies_of_series(association: Association, series: str, include: Sequence[str]) -> list[dict[str, str]]:
    """The studies that may hold a series known by its UID alone.

    Many archives answer a relational query without having negotiated it (PS3.4 C.4.1.2.2); the others are asked about
    one study after the other, as long as they are few.
    """
    keys = {"SeriesInstanceUID": series, "StudyInstanceUID": ""}
    try:
        related = fitting_answers(Level.SERIES, list(_asked(association, Level.SERIES, keys)), keys)
    except ArchiveError:  # refused: the archive wants the study's UID
        related = []
    uids = {answer["StudyInstanceUID"] for answer in related} - {""}
    match = {"StudyInstanceUID": "\\".join(sorted(uids))} if uids else {}
    studies = find(association, Level.STUDY, match, include)
    if len(studies) > MOST_STUDIES:
        raise ArchiveError(
            f"{association.parties} does not find a series by its UID alone",
            expected="a relational query, or the study's UID with it",
            found=f"{len(studies)} studies, too many to ask about one by one",
            remedy="Name the study too: STUDY_UID/SERIES_UID.",
        )
    return [dict(study) for study in studies]


def _of_one_parent(
    association: Association, level: Level, parent: Mapping[str, str], match: Attributes, include: Sequence[str]
) -> list[Attributes]:
    """Entities below one parent; a list of UIDs is asked for one by one, because few archives match lists."""
    unique = UNIQUE_KEYS[level][-1]
    upper = {key: parent[key] for key in UNIQUE_KEYS[level][:-1]}
    keys = dict.fromkeys((unique, *match, *include), "") | dict(match) | upper
    found: list[Attributes] = []
    for uid in dict.fromkeys(match.get(unique, "").split("\\")):
        named = keys | {unique: "" if is_universal(uid) else uid}
        found += [_with(answer, upper) for answer in _asked(association, level, named)]
    return fitting_answers(level, found, {**match, **upper})


def _with(answer: dict[str, str], upper: Mapping[str, str]) -> Attributes:
    """The answer, with what the archive left out of the keys that it was asked under."""
    return answer | {keyword: answer[keyword] or uid for keyword, uid in upper.items()}


def _asked(association: Association, level: Level, keys: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """One C-FIND (PS3.7 9.1.2): every answer of the archive as it came."""
    context = association.context_for(STUDY_ROOT_FIND)
    if context is None:
        raise diagnosis.nothing_negotiated(association.parties, "C-FIND", (STUDY_ROOT_FIND,))
    association.wire.doing = f"asking for {level.value} entities (C-FIND)"
    command = commands.request(Command.C_FIND_RQ, STUDY_ROOT_FIND, association.next_message_id(), data_set=True)
    association.send(context, command, _identifier(level, keys, context))
    while True:
        message = association.receive()
        if message.field != Command.C_FIND_RSP:
            raise diagnosis.misspoken(association.parties, f"a command 0x{message.field:04X}", association.wire.doing)
        if message.status == commands.SUCCESS:
            return
        if message.status not in commands.PENDING:
            about = f"{level.value} entities"
            raise diagnosis.refused(association.parties, "C-FIND", message.command, about, STUDY_ROOT_FIND)
        yield _attributes(association, message, keys)


def _attributes(association: Association, message: Message, keys: Mapping[str, str]) -> dict[str, str]:
    try:
        return dataset_attributes(decoded(message.data, message.context), keys)
    except UNREADABLE as error:
        what = f"an answer that cannot be read ({error})"
        raise diagnosis.misspoken(association.parties, what, association.wire.doing) from error


def _identifier(level: Level, keys: Mapping[str, str], context: Context) -> bytes:
    dataset = Dataset()
    if not all(value.isascii() for value in keys.values()):
        dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.QueryRetrieveLevel = level.value
    for keyword, value in keys.items():
        setattr(dataset, keyword, value.split("\\") if "\\" in value else value or None)
    return encoded(dataset, context)


def encoded(dataset: Dataset, context: Context) -> bytes:
    """An identifier in the context's transfer syntax."""
    syntax = UID(context.transfer_syntax)
    content = encode(dataset, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    if content is None:
        raise ArchiveError("a query holds a value that its key cannot carry", found=str(dataset))
    return bytes(content)


def decoded(content: bytes, context: Context) -> Dataset:
    """An identifier out of the context's transfer syntax."""
    syntax = UID(context.transfer_syntax)
    return decode(BytesIO(content), syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
