"""C-STORE (PS3.4 Annex B): every file on one kept association, streamed; only Success is success.

The presentation contexts are the files' own SOP class and transfer syntax, and for uncompressed ones the other
uncompressed transfer syntax as well: a file may be rewritten between these, and is never compressed or decompressed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from iodeep.errors import ArchiveError, InputError, LocalStorageError
from iodeep.ports import Progress, ProgressSink, StoreReport
from iodeep.settings import PacsSettings
from pacs_bridge.dimse import commands, diagnosis
from pacs_bridge.dimse.association import Association, Context
from pacs_bridge.dimse.commands import Command
from pacs_bridge.dimse.negotiation import MAX_CONTEXTS, Proposal
from pacs_bridge.part10 import UNCOMPRESSED, Instance, is_rewritable, rewritten

Associate = Callable[[Sequence[Proposal]], Association]
_READ_AHEAD = 1 << 20


def store(instances: Sequence[Instance], associate: Associate, progress: ProgressSink) -> StoreReport:
    """Send each instance; raises at the first one that is not accepted with Success.

    An association takes 128 presentation contexts (PS3.8 9.3.2.2); more make further associations, one after the other.
    """
    started = time.perf_counter()
    total = sum(instance.length for instance in instances)
    done = 0

    def sent(count: int) -> None:
        nonlocal done
        done += count
        progress(Progress("store", done, total, "bytes"))

    for group, proposals in grouped(instances):
        with associate(proposals) as association:
            for instance in group:
                _send(association, instance, sent)
    return StoreReport(len(instances), total, time.perf_counter() - started)


def check_study_sizes(instances: Sequence[Instance], settings: PacsSettings) -> None:
    """Refuse a study that the archive is known not to hold, before the first byte."""
    if settings.max_study_size is None:
        return
    sizes: dict[str, int] = {}
    for instance in instances:
        sizes[instance.study] = sizes.get(instance.study, 0) + instance.length
    for study, size in sizes.items():
        if size > settings.max_study_size:
            raise ArchiveError(
                f"the study {study} is too large for {settings.address}",
                expected=f"at most {settings.max_study_size} bytes (max_study_size)",
                found=f"{size} bytes",
                remedy="Use an archive that holds more of a study, or raise max_study_size if this one does.",
            )


def grouped(instances: Sequence[Instance]) -> Iterator[tuple[list[Instance], list[Proposal]]]:
    """The instances in order, cut so that each group's presentation contexts fit one association (PS3.8 9.3.2.2)."""
    group: list[Instance] = []
    proposals: dict[Proposal, None] = {}
    for instance in instances:
        needed = dict.fromkeys(_proposals(instance))
        if group and len(proposals | needed) > MAX_CONTEXTS:
            yield group, list(proposals)
            group, proposals = [], {}
        group.append(instance)
        proposals |= needed
    if group:
        yield group, list(proposals)


def _proposals(instance: Instance) -> list[Proposal]:
    """One transfer syntax in each, so that the answer says what the archive takes of the SOP class."""
    others = UNCOMPRESSED if is_rewritable(instance.transfer_syntax) else UNCOMPRESSED[:1]
    syntaxes = dict.fromkeys((instance.transfer_syntax, *others))
    return [Proposal(instance.sop_class, (syntax,)) for syntax in syntaxes]


def _send(association: Association, instance: Instance, sent: Callable[[int], None]) -> None:
    context = association.context_for(instance.sop_class, instance.transfer_syntax)
    if context is not None:
        _send_as_it_is(association, context, instance, sent)
        return
    context = association.context_for(instance.sop_class)
    if context is None or not is_rewritable(instance.transfer_syntax):
        raise _not_taken(association, instance)
    with tempfile.TemporaryDirectory(prefix="iodeep-") as folder:
        _send_as_it_is(association, context, _rewritten(instance, context, Path(folder)), lambda _: None)
    sent(instance.length)


def _rewritten(instance: Instance, context: Context, folder: Path) -> Instance:
    try:
        return rewritten(instance, context.transfer_syntax, folder / instance.path.name)
    except OSError as error:
        raise LocalStorageError(
            f"{instance.path} cannot be rewritten for the archive in {folder}: {error.strerror}",
            remedy="Make room on the disk of temporary files (TMPDIR).",
        ) from error


def _send_as_it_is(association: Association, context: Context, instance: Instance, sent: Callable[[int], None]) -> None:
    association.wire.doing = f"sending {instance.path.name} (C-STORE)"
    number = association.next_message_id()
    command = commands.request(
        Command.C_STORE_RQ, instance.sop_class, number, data_set=True, AffectedSOPInstanceUID=instance.uid
    )
    try:
        with instance.path.open("rb", buffering=_READ_AHEAD) as file:
            file.seek(instance.offset)
            association.send_file(context, command, file, instance.length, sent)
    except OSError as error:
        raise InputError(f"{instance.path} cannot be read any more: {error.strerror}") from error
    association.wire.doing = f"waiting for the answer to {instance.path.name} (C-STORE)"
    answer = association.receive()
    if answer.field != Command.C_STORE_RSP or answer.command.get("MessageIDBeingRespondedTo") != number:
        raise diagnosis.misspoken(association.parties, f"a command 0x{answer.field:04X}", association.wire.doing)
    if answer.status != commands.SUCCESS:
        raise diagnosis.refused(association.parties, "C-STORE", answer.command, str(instance.path), instance.sop_class)


def _not_taken(association: Association, instance: Instance) -> ArchiveError:
    if association.context_for(instance.sop_class) is None:
        return diagnosis.nothing_negotiated(association.parties, f"C-STORE of {instance.path}", (instance.sop_class,))
    return diagnosis.syntax_not_taken(association.parties, str(instance.path), instance.transfer_syntax)
