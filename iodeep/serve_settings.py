"""What ``iodeep.toml`` says about the service that a hospital leaves running (``[serve]``); every default is a safe one.

Nothing here is read from the environment but through the names of variables (``..._env``), so that no secret has to be
written into a file.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

GIBI = 1 << 30

AETitle = Annotated[
    str, StringConstraints(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$", strip_whitespace=True)
]
Seconds = Annotated[float, Field(gt=0)]


class FrozenSettings(BaseModel):
    """A part of the settings: never changed, and no name in it that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServeRole(StrEnum):
    """What one machine does; ``all`` where there is only one."""

    ALL = "all"
    LISTENER = "listener"
    API = "api"
    WORKER = "worker"


class UserRole(StrEnum):
    """What a person or system may do: each may also do what the ones before it may."""

    VIEWER = "viewer"
    CLINICIAN = "clinician"
    ADMINISTRATOR = "administrator"
    SERVICE = "service"
    """A system: asks for jobs and reads results, administers nothing."""


class ServerTlsSettings(FrozenSettings):
    """Certificates that we show, and the CA whose clients we take (mutual TLS) where one is named (PS3.15 B.12)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class ListenerSettings(FrozenSettings):
    """The storage SCP that PACSs and modalities route series to."""

    enabled: bool = True
    aet: AETitle = "IODEEP"
    bind: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    """0 asks the system for one."""
    allowed_aets: tuple[AETitle, ...] = ()
    """Calling AE titles that may send; empty: any, which only a loopback ``bind`` or mutual TLS allows."""
    allowed_addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks that may connect; empty: any."""
    tls: ServerTlsSettings | None = None
    max_associations: Annotated[int, Field(ge=1, le=500)] = 32
    max_instance_bytes: Annotated[int, Field(ge=1 << 20)] = 4 * GIBI
    idle_s: Seconds = 60.0
    """An association without a sign of life for so long is aborted."""


class ArrivalSettings(FrozenSettings):
    """When a series that comes in is complete, and what is kept of it until its result is confirmed."""

    quiet_s: Annotated[float, Field(ge=0)] = 30.0
    """Complete when nothing came for so long ..."""
    longest_wait_s: Seconds = 1800.0
    """... or after this time at the latest, with what is there; the geometry check then decides."""
    ask_pacs_for_count: bool = True
    """Complete at once when as many came as the source archive says the series has (Number of Series Related Instances)."""
    spool: Path | None = None
    """Where series wait; in the data folder where left out."""
    least_free_bytes: Annotated[int, Field(ge=0)] = 2 * GIBI
    """Below this free space on the spool's disk, C-STORE is answered with A700 (Out of Resources)."""
    most_bytes: Annotated[int, Field(ge=1)] | None = None
    """The most that the spool may hold; None: what the disk allows."""
    keep_failed_days: Annotated[float, Field(ge=0)] = 7.0
    """What belongs to a failed job is kept so long for its retry, then deleted; what is confirmed goes at once."""


class PollSettings(FrozenSettings):
    """A schedule on which an archive is asked by C-FIND for new series."""

    pacs: str
    every_s: Seconds = 60.0
    back_hours: Annotated[float, Field(gt=0)] = 24.0
    """How far back in Study Date and Time is asked each time; what is known already is passed over."""
    modalities: tuple[str, ...] = ()
    """Empty: those that the archive's models take."""


class JobSettings(FrozenSettings):
    """How work is kept, repeated and bounded."""

    database: str = ""
    """``postgresql://...`` for several machines; empty: SQLite in the data folder. May name a variable as ``env:NAME``."""
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    """Worker processes on this machine, each of which runs one job at a time."""
    host: str = ""
    """This machine's name among several; its host name where left out. It has to stay the same over restarts."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """How often a job may begin that never comes back (it crashes its worker) before it is a dead letter."""
    first_retry_s: Seconds = 5.0
    longest_retry_s: Seconds = 300.0
    give_up_hours: Annotated[float, Field(gt=0)] = 24.0
    """How long what can pass (a PACS that is down) is tried again, ever more rarely."""
    dead_after_s: Seconds = 10.0
    """A worker host whose heart has not beaten for so long is taken for dead, and its jobs are taken over."""
    batch_delay_s: Annotated[float, Field(ge=0)] = 3600.0
    """How much later than a routine job of the same moment a batch job is due: nothing waits longer than that."""
    drain_s: Annotated[float, Field(ge=0)] = 60.0
    """How long a shutdown waits for the jobs that are running; they go on after the next start otherwise."""
    keep_days: Annotated[float, Field(gt=0)] = 90.0
    """How long finished jobs stay listed."""


class OidcSettings(FrozenSettings):
    """An OpenID Connect provider whose access tokens we take (RFC 9068, RFC 7519)."""

    issuer: str
    audience: str
    roles_claim: str = "roles"
    """Where the roles are in the token; dots lead into objects (``realm_access.roles``)."""
    roles: dict[str, UserRole] = Field(default_factory=dict)
    """The provider's names for our roles; a role that is not listed is none."""
    client_id: str = ""
    """For the pages' own sign-in (authorization code with PKCE); empty: only tokens that others bring."""
    client_secret: Path | None = None
    """File with the client's secret, where the provider gave one; left out for a public client."""
    ca: Path | None = None
    leeway_s: Annotated[float, Field(ge=0, le=300)] = 30.0


class HttpSettings(FrozenSettings):
    """The API, the pages and the DICOMweb gateway."""

    enabled: bool = True
    bind: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    public_url: str = ""
    """How people reach it, where a proxy stands in front."""
    tls: ServerTlsSettings | None = None
    proxy_addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    """Proxies whose X-Forwarded-For is believed."""
    requests_per_minute: Annotated[int, Field(ge=1)] = 1200
    """Of one caller; more are answered with 429."""
    requests_per_minute_and_address: Annotated[int, Field(ge=1)] = 6000
    """Of one address, whoever calls from there."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that callers may use for us besides this machine's own, IP addresses and that of ``public_url``."""
    plain_http: bool = False
    """Whether tokens and images may travel in the clear: for a network address without ``tls``, behind a proxy that has it."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 512 << 20
    gateway_cache_bytes: Annotated[int, Field(ge=0)] = 4 * GIBI


WorkitemCode = Annotated[str, Field(pattern=r"^[^:\s]{1,16}:[^:]{1,64}$")]
"""``SCHEME:VALUE`` of a code."""


class PullSettings(FrozenSettings):
    """Another system's worklist over UPS-RS, from which we take work as the performer that pulls (IHE AIW-I)."""

    root: str
    """Its DICOMweb root, such as ``https://manager.hospital.example/dicom-web``."""
    every_s: Seconds = 30.0
    label: str = ""
    """Worklist Label (0074,1202) of what is for us; empty: any."""
    token: str = ""
    """A bearer token where one is needed; ``env:NAME`` reads it from a variable."""
    ca: Path | None = None


class WorklistSettings(FrozenSettings):
    """Unified Procedure Steps (PS3.4 CC): the worklist that we offer, and the work that we perform."""

    enabled: bool = True
    codes: tuple[WorkitemCode, ...] = ("99IODEEP:SEGMENT",)
    """Scheduled Workitem Codes that are work for us; which model is run, the step says or selection chooses."""
    models: dict[WorkitemCode, str] = Field(default_factory=dict)
    """Further codes that are work for us, each with the model that it means (name, token or UID)."""
    pulls: tuple[PullSettings, ...] = ()
    keep_days: Annotated[float, Field(gt=0)] = 30.0
    """How long steps that have ended are kept; longer where somebody holds a deletion lock."""


class AccessSettings(FrozenSettings):
    """Who may come in."""

    oidc: OidcSettings | None = None
    api_keys: Path | None = None
    """File of hashed API keys (``iodeep keys add``); ``api-keys.json`` in the data folder where left out."""
    anonymous: UserRole | None = None
    """The role of callers without credentials; refused unless ``bind`` is loopback."""
    session_hours: Annotated[float, Field(gt=0, le=24)] = 8.0
    """How long a sign-in at the pages lasts at most; an hour without a request ends it sooner."""


class AuditSettings(FrozenSettings):
    """The record of who did what (PS3.15 A.5)."""

    folder: Path | None = None
    syslog: str = ""
    """``tls://host:6514`` (RFC 5425), ``udp://host:514`` or ``tcp://host:514``; empty: the local log alone."""
    syslog_ca: Path | None = None
    """The CA of the receiver's certificate; left out: the system's."""
    syslog_certificate: Path | None = None
    syslog_key: Path | None = None
    """Our own certificate and key, where the receiver asks for one."""
    site: str = "IODeep"
    """Audit Enterprise Site ID."""


class LogSettings(FrozenSettings):
    """What the log says."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    patient_data: bool = False
    """Whether lines may name patients; UIDs are written either way."""
    form: Literal["text", "json"] = "text"


class ServeSettings(FrozenSettings):
    """``iodeep serve``."""

    data: Path | None = None
    """Database, spool, audit log and keys; the user's or machine's data folder where left out."""
    results_to: str = ""
    """The archive that results go to; empty: the archive that the series came from, else default_pacs."""
    models_from: str = ""
    """The archive whose models are used; empty: default_pacs."""
    listener: ListenerSettings = ListenerSettings()
    arrivals: ArrivalSettings = ArrivalSettings()
    polls: tuple[PollSettings, ...] = ()
    jobs: JobSettings = JobSettings()
    http: HttpSettings = HttpSettings()
    worklist: WorklistSettings = WorklistSettings()
    access: AccessSettings = AccessSettings()
    audit: AuditSettings = AuditSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _anonymous_on_loopback_only(self) -> Self:
        if self.access.anonymous and not is_loopback(self.http.bind):
            raise ValueError("access.anonymous is for a loopback http.bind only")
        return self


def is_loopback(bind: str) -> bool:
    """Whether only this machine reaches the address."""
    return bind == "localhost" or bind == "::1" or bind.startswith("127.")
