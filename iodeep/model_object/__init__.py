"""Card and payloads <-> DICOM instances; the only room that knows the private block."""

from __future__ import annotations

from iodeep.model_object.assemble import assemble
from iodeep.model_object.descriptor import ModelDescriptor, read_descriptor
from iodeep.model_object.identity import ModelIdentity
from iodeep.model_object.legacy import LegacyModel, explain_legacy
from iodeep.model_object.manifest import Manifest, PartEntry, PayloadFile, Role
from iodeep.model_object.pack import DEFAULT_PART_SIZE, PackedModel, pack_model
from iodeep.model_object.recognise import ObjectKind, Recognised, recognise
from iodeep.model_object.self_test import ExpectedClass, SelfTest
from iodeep.model_object.signature_object import Signature, is_signature_series, read_signature, write_signature
from iodeep.model_object.site_document import DocumentType, SiteDocument, read_site_document, write_site_document

__all__ = [
    "DEFAULT_PART_SIZE",
    "DocumentType",
    "ExpectedClass",
    "LegacyModel",
    "Manifest",
    "ModelDescriptor",
    "ModelIdentity",
    "ObjectKind",
    "PackedModel",
    "PartEntry",
    "PayloadFile",
    "Recognised",
    "Role",
    "SelfTest",
    "Signature",
    "SiteDocument",
    "assemble",
    "explain_legacy",
    "is_signature_series",
    "pack_model",
    "read_descriptor",
    "read_signature",
    "read_site_document",
    "recognise",
    "write_signature",
    "write_site_document",
]
