"""Lists of what is revoked as instances in archives: stored there, and the newest that holds brought from there.

An archive proves nothing: whatever comes from it counts by its signature alone, and a list that is older than a known one never does.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from iodeep.errors import ArchiveError, InputError, IODeepError, LocalStorageError, NotTrustedError
from iodeep.model_object.local_files import whole_file
from iodeep.model_object.site_document import (
    DocumentType,
    SiteDocument,
    read_site_document,
    site_series,
    write_site_document,
)
from iodeep.ports import Archive, Level, ProgressSink, Wanted, no_progress
from iodeep.service.private_files import write_private
from iodeep.service.storing import store_and_prove
from iodeep.service.trust_memory import FileMemory
from iodeep.settings import Settings
from iodeep.trust.memory import check_not_older
from iodeep.trust.policy import FetchedList, key_of_list
from iodeep.trust.revocations import RevocationList, SignedList, read_list_file
from iodeep.trust.signatures.keys import ED25519, key_id_of
from iodeep.trust_settings import RevocationSettings
from pacs_bridge import open_archive

log = logging.getLogger(__name__)

MOST_LOOKED_AT = 20
"""Of an issuer's lists in an archive, the newest by their number: more of them somebody made up."""


def store_list(
    archive: Archive, signed: SignedList, revoked: RevocationList, progress: ProgressSink = no_progress
) -> str:
    """Store the list, proved to be there; gives the SOP Instance UID. The same list is stored once, however often."""
    document = SiteDocument(DocumentType.REVOCATIONS, signed.content, signed.value, signed.type_and_key)
    number = int(revoked.issued_at.timestamp()) // 60
    with tempfile.TemporaryDirectory(prefix="iodeep-") as name:
        path = write_site_document(Path(name), document, number, revoked.issued_at)
        store_and_prove(archive, [path], progress=progress)
    return document.sop_instance_uid


def newest_list(archive: Archive, key: Ed25519PublicKey) -> SignedList | None:
    """The newest of the key's lists that holds; None where the archive has none. What doesn't hold is left aside, and logged."""
    found = [(signed.checked(key).issued_at, signed) for signed in _holding(archive, key)]
    return max(found, key=lambda each: each[0])[1] if found else None


def _holding(archive: Archive, key: Ed25519PublicKey) -> Iterator[SignedList]:
    series = site_series(DocumentType.REVOCATIONS, f"{ED25519} {key_id_of(key)}")
    match = {"StudyInstanceUID": series.study, "SeriesInstanceUID": series.series or ""}
    rows = archive.find(Level.IMAGE, match, ("SOPInstanceUID", "InstanceNumber"))
    rows.sort(key=lambda row: _number(row["InstanceNumber"]), reverse=True)
    for row in rows[:MOST_LOOKED_AT]:
        try:
            signed = _fetched(archive, Wanted(series.study, series.series, (row["SOPInstanceUID"],)))
            signed.checked(key)
        except (ArchiveError, LocalStorageError):
            raise
        except IODeepError as error:
            log.warning("a list of what is revoked in %s is left aside: %s", archive.name, error)
        else:
            yield signed


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1


def _fetched(archive: Archive, wanted: Wanted) -> SignedList:
    with tempfile.TemporaryDirectory(prefix="iodeep-") as name:
        (path,) = archive.fetch(wanted, Path(name))
        document = read_site_document(path)
    return SignedList(document.content, document.value, document.type_and_key, document.where)


def fetched_lists(settings: Settings, folder: Path) -> Callable[[RevocationSettings, str], FetchedList]:
    """For the trust policy: where the lists that archives have are kept, and how to bring newer ones."""

    def fetched(rules: RevocationSettings, identifier: str) -> FetchedList:
        path = folder / f"revoked-{identifier}.json"
        return FetchedList(path, partial(_refresh, settings, rules, path))

    return fetched


def _refresh(settings: Settings, rules: RevocationSettings, path: Path) -> None:
    """Ask the archive unless that was done a moment ago; what is known counts on where it is away, for as long as it is good."""
    asked = path.with_suffix(".asked")
    try:
        if asked.exists() and abs(time.time() - asked.stat().st_mtime) < rules.every_s:
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(asked, b"")  # before: an archive that is away is not asked for each model either
        with open_archive(settings.archive(rules.pacs)) as archive:
            signed = newest_list(archive, key_of_list(rules))
        if signed is not None and _is_newer(path, signed, key_of_list(rules)):
            write_private(path, signed.as_file())
    except ArchiveError as error:
        log.warning("the list of what is revoked could not be asked for: %s", error)
    except OSError as error:
        raise NotTrustedError(
            f"the list of what is revoked cannot be kept in {path.parent}: {error.strerror or error}",
            remedy="Make room, or give the folder to this user. Until then no model runs",
        ) from error


def _is_newer(path: Path, signed: SignedList, key: Ed25519PublicKey) -> bool:
    """Than the list in the file; one that is there and doesn't hold is somebody's doing: NotTrustedError, and it stays to be seen."""
    return not path.exists() or read_list_file(path).checked(key).issued_at < signed.checked(key).issued_at


def import_list(settings: Settings, signed: SignedList, folder: Path) -> tuple[RevocationList, Path, bool]:
    """Take a list that came from its issuer by another way: the list, where it is kept, and whether it is newer than the known one.

    Errors: :class:`iodeep.errors.NotTrustedError` where it doesn't hold or is older than one that was seen;
    :class:`iodeep.errors.InputError` where the site doesn't ask that issuer.
    """
    for rules in settings.trust.revocation if settings.trust else ():
        key = key_of_list(rules)
        if signed.type_and_key == f"{ED25519} {key_id_of(key)}":
            revoked = signed.checked(key)
            check_not_older(FileMemory(folder), signed.type_and_key, revoked.issued_at, signed.where)
            path = rules.file.expanduser() if rules.file else folder / f"revoked-{key_id_of(key)}.json"
            newer = _is_newer(path, signed, key)
            if newer:
                _write(path, signed, private=rules.file is None)
            return revoked, path, newer
    raise InputError(
        f"the list {signed.where} is of an issuer that this site does not ask",
        expected="one whose key stands under [[trust.revocation]] in iodeep.toml",
        found=signed.type_and_key,
        remedy="If you know whose it is, add the key, and a file or pacs for its lists.",
    )


def _write(path: Path, signed: SignedList, *, private: bool) -> None:
    """A file of the site's is as readable as its folder's others; one of ours is for the service alone."""
    if not private:
        with whole_file(path) as file:
            file.write(signed.as_file())
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, signed.as_file())
