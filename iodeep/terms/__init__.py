"""The names that the whole house shares: UIDs, coded terms, defined terms.

Nothing here decides anything; tables that are data lie beside this file.
"""

from __future__ import annotations

from iodeep.terms.anatomic_regions import AnatomicRegion, anatomic_regions, region_of_code, region_of_defined_term
from iodeep.terms.code import Code
from iodeep.terms.uids import (
    CREATOR_VERSION_UID,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    RAW_DATA_STORAGE,
    deterministic_uid,
)

__all__ = [
    "CREATOR_VERSION_UID",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "RAW_DATA_STORAGE",
    "AnatomicRegion",
    "Code",
    "anatomic_regions",
    "deterministic_uid",
    "region_of_code",
    "region_of_defined_term",
]
