"""A release's records in the archive, beside its signatures: stored where the site wants that, read back, and compared.

The register stays what counts. The copies show anybody who has the site's public key what was decided, and tell where the
register's own database lost its newest records.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from iodeep.errors import IntegrityError
from iodeep.model_object import DocumentType, ModelDescriptor, SiteDocument, read_site_document, write_site_document
from iodeep.model_object.site_document import site_series
from iodeep.ports import Archive, Level, ProgressSink, Wanted, no_progress
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.storing import store_and_prove
from iodeep.trust.lifecycle import StateRecord
from iodeep.trust.lifecycle.chain import SignedRecord


def store_records(
    archive: Archive,
    register: SiteRegister,
    descriptor: ModelDescriptor,
    workspace: Path,
    *,
    progress: ProgressSink = no_progress,
) -> int:
    """Store those of the release's records that the archive doesn't have, and prove that they are there; how many they were."""
    key = register.key.type_and_id
    held = _held(archive, site_series(DocumentType.STATE, key, descriptor.study_instance_uid))
    with tempfile.TemporaryDirectory(prefix="records-", dir=workspace) as name:
        files = []
        for record, signed in register.signed_history(descriptor.identity.sop_instance_uid):
            document = SiteDocument(DocumentType.STATE, signed.content, signed.value, key)
            if document.sop_instance_uid not in held:
                digest = record.release.manifest_sha256
                files.append(
                    write_site_document(Path(name), document, record.sequence, record.at, descriptor.manifest, digest)
                )
        if files:
            store_and_prove(archive, files, progress=progress)
        return len(files)


def read_records(archive: Archive, register: SiteRegister, study: str, workspace: Path) -> tuple[StateRecord, ...]:
    """The records that the archive has of the release that is the study, in order, each with its signature checked."""
    series = site_series(DocumentType.STATE, register.key.type_and_id, study)
    if not _held(archive, series):
        return ()
    with tempfile.TemporaryDirectory(prefix="records-", dir=workspace) as name:
        documents = [read_site_document(path) for path in sorted(archive.fetch(series, Path(name)))]
    records = [register.key.read_record(SignedRecord(each.content, each.value), each.where) for each in documents]
    return tuple(sorted(records, key=lambda record: record.sequence))


def check_nothing_lost(kept: Sequence[StateRecord], archived: Sequence[StateRecord]) -> None:
    """IntegrityError where the archive has a record of a release that the register hasn't: an older database was put back."""
    known = {record.sha256 for record in kept}
    lost = [record for record in archived if record.sha256 not in known]
    if lost:
        newest = lost[-1]
        raise IntegrityError(
            f"the register has lost {len(lost)} records of {newest.release.name} that the archive has",
            expected=f"record {newest.sequence}, {newest.after} by {newest.by} on {newest.at:%Y-%m-%d} ({newest.reason})",
            remedy="An older copy of the database was put back. Find a newer one, or quarantine the model and decide anew.",
        )


def _held(archive: Archive, series: Wanted) -> frozenset[str]:
    match = {"StudyInstanceUID": series.study, "SeriesInstanceUID": series.series or ""}
    return frozenset(row["SOPInstanceUID"] for row in archive.find(Level.IMAGE, match, ("SOPInstanceUID",)))
