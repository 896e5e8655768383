"""Whether the region that a series shows and the region that a model is for belong together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from iodeep.anatomy import AnatomyAnswer
from iodeep.anatomy.regions import covers, is_organ, parent_zones, zones_of

_MALE = frozenset({"PROSTATE", "PENIS", "TESTIS", "SCROTUM", "SEMVESICLE", "EPIDIDYMIS", "PENILEA"})
_FEMALE = frozenset(
    {"UTERUS", "OVARY", "CERVIX", "ENDOMETRIUM", "VAGINA", "VULVA", "ENDOVAGINAL", "PLACENTA", "GESTSAC"}
)
_NARROW = frozenset({"MR", "US"})
"""Modalities whose examinations are planned on one organ and may leave out its neighbours."""


@dataclass(frozen=True)
class RegionFit:
    """How close a model's region is to the series': the larger ``closeness`` the closer; 0 where they don't fit."""

    closeness: int
    region: str
    """The model's region that comes closest."""


def region_fit(answer: AnatomyAnswer, wanted: tuple[str, ...], modality: str) -> RegionFit:
    """The closest of ``wanted``, the model's regions.

    4: the organ that the series names; 3: the very region; 2: the series shows a part of the model's region;
    1: the series shows the model's region among others.
    """
    examined = answer.shown or ""
    return _closest(examined, answer.organ, wanted, modality)


@lru_cache(maxsize=16_384)
def _closest(examined: str, organ: str | None, wanted: tuple[str, ...], modality: str) -> RegionFit:
    fits = [RegionFit(_closeness(examined, organ, region, modality), region) for region in wanted]
    return max(fits, key=lambda fit: (fit.closeness, fit.region))


def sex_excludes(region: str, sex: str) -> bool:
    """Whether a patient of this sex (0010,0040) cannot have the structure."""
    return (sex == "F" and region in _MALE) or (sex == "M" and region in _FEMALE)


def of_one_sex(region: str) -> bool:
    """Whether only women or only men have the structure."""
    return region in _MALE | _FEMALE


def _closeness(examined: str, organ: str | None, wanted: str, modality: str) -> int:
    if not examined:
        return 0
    if organ == wanted:
        return 4
    if examined == wanted:
        return 3
    if _other_organ(organ, wanted, modality):
        return 0
    if covers(examined, wanted):
        return 1 if is_organ(wanted) or len(zones_of(examined)) > len(zones_of(wanted)) else 2
    return 2 if _within(examined, wanted) else 0


def _other_organ(named: str | None, wanted: str, modality: str) -> bool:
    """A scan planned on one organ is not given to a model for another: an MR of the uterus has no prostate to find."""
    return (
        modality in _NARROW and named is not None and is_organ(named) and is_organ(wanted) and not covers(named, wanted)
    )


def _within(examined: str, wanted: str) -> bool:
    zones, around = zones_of(examined), zones_of(wanted)
    if not zones or not around:
        return False
    inner = all(zone in around or parent_zones(zone) & around & {"UPPERLIMB", "LOWERLIMB"} for zone in zones)
    return inner and not is_organ(wanted)
