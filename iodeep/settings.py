"""What a site configures, as one immutable object that is passed in; reading files is the service's work.

A PACS is named in ``iodeep.toml`` under ``[pacs.NAME]`` or given as a URL::

    dicom://AET@host:port?calling=IODEEP&retrieve=get      DIMSE
    dicom+tls://AET@host:port                              DIMSE over TLS
    dicomweb+http://host:port/root                         DICOMweb (or dicomweb+https)
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, ValidationError, model_validator

from iodeep.errors import SettingsError
from iodeep.lifecycle_settings import LifecycleSettings
from iodeep.serve_settings import AETitle, FrozenSettings, ServeSettings
from iodeep.terms.providers import ProviderName
from iodeep.trust_settings import TrustSettings

MEBI = 1 << 20


class Retrieve(StrEnum):
    """How instances are brought from a PACS; ``auto`` probes what it negotiates."""

    AUTO = "auto"
    GET = "get"
    MOVE = "move"
    WEB = "web"


class TlsSettings(FrozenSettings):
    """Certificates for DIMSE or HTTPS (BCP 195, PS3.15 B.12): the site's CA, and our own where the PACS asks for it."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class PacsSettings(FrozenSettings):
    """One archive: where it is, how we call ourselves there, and what it can take."""

    name: str
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    aet: AETitle | None = None
    calling_aet: AETitle = "IODEEP"
    dicomweb: str | None = None
    tls: TlsSettings | None = None
    retrieve: Retrieve = Retrieve.AUTO
    move_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port on which we receive C-MOVE sub-operations; 0 asks the system for one (the PACS has to know it)."""
    move_bind: str = "127.0.0.1"
    """Address on which we receive C-MOVE sub-operations; loopback unless the site says otherwise."""
    max_part_size: Annotated[int, Field(ge=1024)] = 64 * MEBI
    """Bytes of payload in one part of a model object."""
    max_study_size: Annotated[int, Field(ge=1)] | None = None
    """Bytes that the archive keeps of one study (1 GiB on dcmqrscp); None where it has no limit."""
    timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """Seconds without any sign of life from the peer before we give up."""

    @model_validator(mode="after")
    def _reachable_somehow(self) -> Self:
        dimse = (self.host, self.port, self.aet)
        if any(dimse) and not all(dimse):
            raise ValueError("DIMSE needs host, port and aet together")
        if not any(dimse) and not self.dicomweb:
            raise ValueError("needs host, port and aet, or dicomweb")
        return self

    @property
    def address(self) -> str:
        """How the archive is named in messages."""
        if self.host:
            return f"{self.name} ({self.aet}@{self.host}:{self.port})"
        return f"{self.name} ({_without_password(self.dicomweb or '')})"


class RunSettings(FrozenSettings):
    """Limits of the inference process, and what it computes with."""

    provider: ProviderName = ProviderName.CPU

    memory_mib: Annotated[int, Field(ge=256)] = 16 * 1024
    seconds: Annotated[float, Field(gt=0)] = 1800.0
    threads: Annotated[int, Field(ge=0)] = 0
    """0: as many as the machine has cores."""


class SelectionRule(FrozenSettings):
    """One rule of a site: what it does with the models it names, for the series it names. ``*`` and ``?`` match anything."""

    effect: Literal["allow", "deny", "prefer"]
    """``allow``: only models so named may be chosen; ``deny``: never; ``prefer``: before others."""
    model: str
    """A model's name, token, ``TOKEN-1.0.0``, or descriptor UID."""
    modality: str = ""
    station: str = ""
    """Station Name (0008,1010)."""
    ae_title: str = ""
    """Scheduled Station AE Title (0040,0001)."""
    department: str = ""
    """Institutional Department Name (0008,1040), else Requesting Service (0032,1033)."""
    reason: str = ""
    """Shown with the decision."""


class SelectionSettings(FrozenSettings):
    """How a site narrows and orders the choice of models."""

    minimum_confidence: Annotated[float, Field(ge=0.5, le=1)] = 0.55
    """Below this confidence in what a series shows no model is chosen."""
    accept_borrowed: bool = False
    """Whether a series that says nothing itself may get a model by what other series of its study say."""
    catalogue_max_age_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    """Seconds for which the list of an archive's models is taken as it was; 0 asks the archive for each decision."""
    run: Literal["best", "all"] = "best"
    """``best``: the model that ranks first; ``all``: each model that fits, once, as far as ``most_models`` goes."""
    most_models: Annotated[int, Field(ge=1, le=100)] = 8
    """With ``all``: no more than so many models are run on a series; those that rank lower are named and left out."""
    rules: tuple[SelectionRule, ...] = ()


class Settings(FrozenSettings):
    """Everything that ``iodeep.toml`` may say."""

    pacs: dict[str, PacsSettings] = Field(default_factory=dict)
    default_pacs: str | None = None
    run: RunSettings = RunSettings()
    selection: SelectionSettings = SelectionSettings()
    serve: ServeSettings = ServeSettings()
    trust: TrustSettings | None = None
    """None: the site has not said whom it trusts, and no signature is asked for."""
    lifecycle: LifecycleSettings | None = None
    """How models come to be approved; None: by the defaults, and by commands nothing is asked for."""
    vocabulary: Path | None = None
    """A hospital's own words for anatomy."""

    def archive(self, wanted: str | None) -> PacsSettings:
        """The archive called ``wanted``: a name of ``iodeep.toml``, a URL, or the default where None."""
        name = wanted or self.default_pacs or (next(iter(self.pacs)) if len(self.pacs) == 1 else None)
        if name is None:
            raise SettingsError(
                "no PACS was named",
                found=f"{len(self.pacs)} in iodeep.toml and no default_pacs" if self.pacs else "no iodeep.toml",
                remedy="Give --pacs NAME, or a URL such as dicom://AET@host:104.",
            )
        if "://" in name:
            return pacs_of_url(name)
        if name not in self.pacs:
            raise SettingsError(
                f"no PACS is called {name!r}",
                expected=f"one of {', '.join(sorted(self.pacs)) or 'none (no [pacs.NAME] in iodeep.toml)'}, or a URL",
                remedy="Add it to iodeep.toml, or give a URL such as dicom://AET@host:104.",
            )
        return self.pacs[name]


def settings_of_document(document: dict[str, Any], origin: str) -> Settings:
    """Settings of a parsed ``iodeep.toml``; an error names each field, its value and what is allowed."""
    pacs = {name: {"name": name, **entry} for name, entry in document.get("pacs", {}).items()}
    try:
        return Settings.model_validate({**document, "pacs": pacs})
    except ValidationError as error:
        raise SettingsError(f"{origin} is wrong: {_sentences(error)}") from error


def pacs_of_url(url: str) -> PacsSettings:
    """An archive out of a URL; see the module's text for the forms."""
    split = urlsplit(url)
    try:
        options: dict[str, Any] = dict(parse_qsl(split.query, strict_parsing=bool(split.query)))
        if "calling" in options:
            options["calling_aet"] = options.pop("calling")
        if split.scheme in ("dicom", "dicom+tls"):
            tls = TlsSettings() if split.scheme == "dicom+tls" else None
            return PacsSettings.model_validate(
                {
                    "name": split.username,
                    "host": split.hostname,
                    "port": split.port,
                    "aet": split.username,
                    "tls": tls,
                    **options,
                }
            )
        if split.scheme in ("dicomweb+http", "dicomweb+https"):
            root = f"{split.scheme.removeprefix('dicomweb+')}://{split.netloc}{split.path}"
            return PacsSettings.model_validate({"name": _without_password(root), "dicomweb": root, **options})
    except (ValidationError, ValueError) as error:
        reason = _sentences(error) if isinstance(error, ValidationError) else str(error)
        raise SettingsError(f"the PACS address {url!r} is wrong: {reason}", remedy=_URL_FORMS) from error
    raise SettingsError(f"the PACS address {url!r} has an unknown scheme {split.scheme!r}", remedy=_URL_FORMS)


def _without_password(url: str) -> str:
    """The URL without its user part: names are printed and logged."""
    split = urlsplit(url)
    return split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()


_URL_FORMS = "Write dicom://AET@host:port, dicom+tls://AET@host:port or dicomweb+http://host:port/root."


def _sentences(error: ValidationError) -> str:
    return "; ".join(
        f"{_field(problem['loc'])}{problem['msg'].removeprefix('Value error, ')}"
        + (f" (found {problem['input']!r})" if isinstance(problem["input"], str | int | float | bool) else "")
        for problem in error.errors()
    )


def _field(steps: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, steps))}: " if steps else ""
