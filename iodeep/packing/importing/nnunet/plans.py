"""plans.json: one configuration, with what it inherits, checked against what a card can say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.nnunet.documents import REMEDY, field, numbers

NORMALISATIONS = frozenset(
    {"CTNormalization", "ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization"}
)
READERS: Mapping[str, str | None] = {
    "SimpleITKIO": None,
    "NibabelIO": None,
    "SimpleITKIOWithReorient": "SAR",
    "NibabelIOWithReorient": "SAR",
}
"""How a reader lays the array's axes (slice, row, column): None as the file stored them."""
_RESAMPLING = "resample_data_or_seg_to_shape"
_NO_RESAMPLING = "no_resampling_hack"
ANISOTROPIC = 3.0
"""``nnunetv2.configuration.ANISO_THRESHOLD``."""
ORDERS = {1: "linear", 3: "cubic"}


@dataclass(frozen=True)
class Resampling:
    """How values are resampled: ``interpolation`` of a card; ``anisotropic`` as of its step ``resample_spacing``."""

    interpolation: str
    anisotropic: float | None


@dataclass(frozen=True)
class Plan:
    """One configuration of plans.json; axes are those after ``transpose_forward``.

    ``patch`` and ``spacing`` have two numbers in 2D, of the axes 1 and 2.
    """

    document: Mapping[str, Any]
    name: str
    settings: Mapping[str, Any]
    patch: tuple[int, ...]
    spacing: tuple[float, ...]
    transpose: tuple[int, int, int]
    reader: str
    data: Resampling | None
    """None where nothing is resampled."""
    values: Resampling | None

    @property
    def flat(self) -> bool:
        """Whether the configuration is 2D: slices along the first axis."""
        return len(self.patch) == 2

    @property
    def dataset(self) -> str:
        """``Dataset001_Name``."""
        return str(self.document.get("dataset_name", ""))

    def normalisations(self, channels: int) -> list[tuple[str, bool, Mapping[str, Any]]]:
        """Of each channel: the scheme's name, whether the mask is used, and the training set's intensities."""
        where = f"plans.json ({self.name})"
        schemes = field(self.settings, "normalization_schemes", list, where)
        masked = field(self.settings, "use_mask_for_norm", list, where)
        if len(schemes) != channels or len(masked) != channels:
            raise InputError(
                "plans.json normalises another number of channels than dataset.json has",
                expected=f"{channels}",
                found=f"{len(schemes)} schemes, {len(masked)} masks",
                remedy=REMEDY,
            )
        for scheme in schemes:
            if scheme not in NORMALISATIONS:
                raise InputError(
                    f"the normalisation {str(scheme)[:80]!r} is not one of nnU-Net's own",
                    expected=", ".join(sorted(NORMALISATIONS)),
                    remedy="A card cannot say it. Train with a scheme of nnU-Net's, or pack the network as ONNX.",
                )
        return [
            (scheme, bool(mask), self._intensities(channel))
            for channel, (scheme, mask) in enumerate(zip(schemes, masked, strict=True))
        ]

    def _intensities(self, channel: int) -> Mapping[str, Any]:
        of_all = self.document.get("foreground_intensity_properties_per_channel") or {}
        found = of_all.get(str(channel), {}) if isinstance(of_all, dict) else {}
        return found if isinstance(found, dict) else {}


def plan_of(document: Mapping[str, Any], name: str) -> Plan:
    """The configuration ``name`` of plans.json; InputError naming what of it cannot be said in a card."""
    settings = _resolved(field(document, "configurations", dict, "plans.json"), name)
    where = f"plans.json ({name})"
    if settings.get("previous_stage"):
        raise InputError(
            f"{name} is the second stage of a cascade, which needs the segmentation of {settings['previous_stage']}",
            remedy="A card runs one stage. Import 3d_fullres, or the first stage alone.",
        )
    if settings.get("preprocessor_name") != "DefaultPreprocessor":
        raise InputError(
            f"the preprocessor {str(settings.get('preprocessor_name'))[:80]!r} is not nnU-Net's own",
            expected="DefaultPreprocessor",
            remedy="What it does is code that a card cannot say.",
        )
    if document.get("label_manager", "LabelManager") != "LabelManager":
        raise InputError(f"the label manager {str(document['label_manager'])[:80]!r} is not nnU-Net's own")
    data, values = (_resampling(settings, f"resampling_fn_{what}", where) for what in ("data", "probabilities"))
    if (data is None) is not (values is None):
        raise InputError(
            f"{where} resamples images and not what is found on them, or the other way round", remedy=REMEDY
        )
    patch = numbers(settings, "patch_size", where, counts=(2, 3), whole=True)
    spacing = numbers(settings, "spacing", where, counts=(len(patch),))
    return Plan(
        document=document,
        name=name,
        settings=settings,
        patch=tuple(patch),
        spacing=tuple(float(each) for each in spacing),
        transpose=_transpose(document),
        reader=_reader(document),
        data=data,
        values=values,
    )


def _resolved(configurations: Mapping[str, Any], name: str, visited: tuple[str, ...] = ()) -> dict[str, Any]:
    """A configuration over those that it inherits from."""
    found = configurations.get(name)
    if not isinstance(found, dict) or name in visited:
        raise InputError(
            f"plans.json has no configuration {name[:80]!r}" + (" that doesn't inherit from itself" if visited else ""),
            expected=", ".join(sorted(configurations))[:300],
            remedy=REMEDY,
        )
    if "inherits_from" not in found:
        return dict(found)
    return {**_resolved(configurations, str(found["inherits_from"]), (*visited, name)), **found}


def _transpose(document: Mapping[str, Any]) -> tuple[int, int, int]:
    forward, backward = (field(document, f"transpose_{way}", list, "plans.json") for way in ("forward", "backward"))
    if sorted(forward) != [0, 1, 2] or [forward[axis] for axis in backward] != [0, 1, 2]:
        raise InputError(
            "plans.json: transpose_forward and transpose_backward are not each other's way back", remedy=REMEDY
        )
    return int(forward[0]), int(forward[1]), int(forward[2])


def _reader(document: Mapping[str, Any]) -> str:
    name = field(document, "image_reader_writer", str, "plans.json")
    if name not in READERS:
        raise InputError(
            f"the images were read by {name[:80]!r}, which reads no series of slices",
            expected=", ".join(READERS),
            remedy="A network for photographs or microscopy has no DICOM series to run on.",
        )
    return str(name)


def _resampling(settings: Mapping[str, Any], name: str, where: str) -> Resampling | None:
    function = field(settings, name, str, where)
    if function == _NO_RESAMPLING:
        return None
    options = field(settings, f"{name}_kwargs", dict, where)
    known = {"is_seg", "order", "order_z", "force_separate_z", "separate_z_anisotropy_threshold"}
    order, apart = options.get("order"), options.get("force_separate_z")
    said = set(options) <= known and not options.get("is_seg") and options.get("order_z", 0) == 0
    threshold = options.get("separate_z_anisotropy_threshold", ANISOTROPIC)
    if function != _RESAMPLING or not said or order not in ORDERS or apart not in (None, False):
        raise InputError(
            f"{where}: {name} is a resampling that a card cannot say",
            expected=f"{_RESAMPLING} of order 1 or 3, order_z 0, force_separate_z null or false, or {_NO_RESAMPLING}",
            found=f"{function} {options}"[:200],
        )
    return Resampling(ORDERS[order], None if apart is False else float(threshold))
