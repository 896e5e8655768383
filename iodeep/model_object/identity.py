"""The name by which a result points to the exact model object that made it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelIdentity:
    """What a SEG or SR writes about its model; equal values appear in every result (IHE AIR, PS3.3 C.12.1.5)."""

    name: str
    version: str
    manufacturer: str
    sop_instance_uid: str
    """Of the descriptor instance."""
    device_uid: str
    """Of this version (0018,1002)."""
    device_class_uid: str
    """Of the model family, Manufacturer's Device Class UID (0018,100B)."""
    manifest_sha256: str

    @property
    def algorithm_parameters(self) -> str:
        """For Algorithm Parameters (0066,0032): names the object and pins its content."""
        return f"model={self.sop_instance_uid};sha256={self.manifest_sha256}"
