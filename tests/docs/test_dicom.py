"""What the conformance statement and the object's definition say is what the code sends, takes and writes."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.tag import Tag

from iodeep.model_object import attributes
from iodeep.model_object.private_block import CREATOR, ELEMENTS, HEADER_GROUP, PAYLOAD_GROUP
from iodeep.results.kinds import COMPREHENSIVE_3D_SR_STORAGE, LABEL_MAP_SEGMENTATION_STORAGE, SEGMENTATION_STORAGE
from iodeep.terms import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, RAW_DATA_STORAGE
from iodeep.terms.uids import CREATOR_VERSION_UID, SCHEMA_UID
from pacs_bridge.dimse import archive as dimse
from pacs_bridge.dimse import arrivals, pdata, query, retrieve
from pacs_bridge.dimse.association import MAX_PDU
from pacs_bridge.dimse.negotiation import MAX_CONTEXTS
from pacs_bridge.dimse.storage_classes import RECEIVED
from pacs_bridge.part10 import UNCOMPRESSED
from tests.docs.markdown import ROOT, table_rows
from tests.unit.model_object.models import pack_ensemble

CONFORMANCE = ROOT / "docs" / "conformance.md"
OBJECT = ROOT / "docs" / "object.md"
_TAG = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)")


def _row(page: Path, first: str) -> str:
    return next((" | ".join(cells[1:]) for cells in table_rows(page) if cells[0] == first), "")


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("Maximum PDU received", f"{MAX_PDU} bytes"),
        ("Maximum PDU sent", f"{pdata.fragment_size(0) + pdata.PDV.size} bytes"),
        ("Presentation contexts", f"{MAX_CONTEXTS} at most"),
        ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
        ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
        ("0000", "kept"),
        (f"{arrivals._NOT_AUTHORIZED:04X}", "not asked for"),
        (f"{arrivals._DOES_NOT_MATCH:04X}", "another"),
    ],
)
def test_association_policies_are_the_code_s(what: str, value: str) -> None:
    assert value in _row(CONFORMANCE, what)


def test_every_sop_class_that_we_use_is_listed_as_scu() -> None:
    section = CONFORMANCE.read_text(encoding="utf-8").partition("### 4.3")[2].partition("### 4.4")[0]
    used = {dimse.VERIFICATION, query.STUDY_ROOT_FIND, retrieve.STUDY_ROOT_GET, retrieve.STUDY_ROOT_MOVE}
    written = {RAW_DATA_STORAGE, SEGMENTATION_STORAGE, LABEL_MAP_SEGMENTATION_STORAGE, COMPREHENSIVE_3D_SR_STORAGE}

    assert set(re.findall(r"\| (1\.2\.840[0-9.]+) \|", section)) == used | written


def test_transfer_syntaxes_are_proposed_in_the_order_that_is_stated() -> None:
    assert UNCOMPRESSED == ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
    for name in ("Verification", "Study Root Query/Retrieve – FIND", "Study Root Query/Retrieve – GET"):
        stated = [
            cells for cells in table_rows(CONFORMANCE) if cells[0] == name and len(cells) > 2 and "LE" in cells[2]
        ]
        assert [cells[2] for cells in stated] == ["Explicit VR LE, Implicit VR LE"]


def test_the_classes_that_come_by_c_get_are_listed() -> None:
    section = CONFORMANCE.read_text(encoding="utf-8").partition("### 4.6")[2].partition("### 4.7")[0]
    offered: dict[str, set[str]] = defaultdict(set)
    for proposal in RECEIVED:
        offered[proposal.abstract_syntax] |= set(proposal.transfer_syntaxes)
    words = {uid: "uncompressed" if syntaxes == set(UNCOMPRESSED) else "uncompressed, compressed"
             for uid, syntaxes in offered.items()}  # fmt: skip

    assert dict(re.findall(r"\| (1\.2\.840[0-9.]+) \| ([a-z, ]+) \|", section)) == words
    assert f"these {len(words)} SOP classes" in section


def test_private_elements_are_listed_with_their_vr() -> None:
    listed: dict[str, str] = {}
    for cells in table_rows(OBJECT):
        tags = re.findall(r"\([0-9A-F]{4},xx[0-9A-F]{2}\)", cells[0])
        vrs = cells[2].split(", ") if len(cells) > 3 else []
        listed |= dict(zip(tags, vrs if len(vrs) == len(tags) else vrs * len(tags), strict=True))

    assert listed == {f"({each.group:04X},xx{each.number:02X})": each.vr for each in ELEMENTS}


@pytest.mark.parametrize("page", [OBJECT, CONFORMANCE], ids=lambda page: str(page.name))
def test_the_private_creator_and_its_groups_are_stated(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert CREATOR in text
    for group in (HEADER_GROUP, PAYLOAD_GROUP):
        assert f"{group:04X}" in text


@pytest.mark.parametrize("uid", [RAW_DATA_STORAGE, SCHEMA_UID, CREATOR_VERSION_UID])
def test_the_object_s_page_states_its_uids(uid: str) -> None:
    assert uid in OBJECT.read_text(encoding="utf-8")


def test_every_attribute_of_an_instance_is_in_the_object_s_table(tmp_path: Path) -> None:
    packed = pack_ensemble(tmp_path)
    listed = {Tag(*(int(half, 16) for half in tag)) for cells in table_rows(OBJECT) for tag in _TAG.findall(cells[0])}
    for path in (packed.descriptor, packed.parts[0]):
        written = {element.tag for element in dcmread(path) if not element.tag.is_private and not element.is_empty}
        assert {str(tag) for tag in written - listed} == set()


def test_no_attribute_is_in_the_table_that_the_code_never_writes() -> None:
    source = Path(attributes.__file__).read_text(encoding="utf-8")
    keywords = set(re.findall(r"dataset\.([A-Z]\w+) =", source))
    listed = {tag for cells in table_rows(OBJECT) for tag in _TAG.findall(cells[0])}

    assert {tag for tag in listed if _keyword(tag) not in keywords} == set()


def _keyword(tag: tuple[str, str]) -> str:
    return keyword_for_tag(Tag(int(tag[0], 16), int(tag[1], 16)))
