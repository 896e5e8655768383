"""Commands about who may come in and what was recorded: API keys, certificates, the audit log."""

from __future__ import annotations

import getpass
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.errors import ExitCode, InputError
from iodeep.serve_settings import ServerTlsSettings, UserRole
from iodeep.service.access.api_keys import ApiKey, ApiKeys
from iodeep.service.audit import AuditEvent, AuditFilter, EventKind, RecordedEvent, read_events, verify_log
from iodeep.service.audit.encoding import as_document
from iodeep.service.audit.files import key_file
from iodeep.service.audit.log import AuditLog
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, table
from iodeep.service.configuration import data_folder, load_configuration
from iodeep.service.serving.context import DataFolders
from iodeep.service.tls import CertificateCheck, MadeCertificates, check_certificates, make_certificates
from iodeep.service.tls.making import END_DAYS

KEY_DAYS = 365
_SPAN = re.compile(r"(\d+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def keys_list(config: options.Config = None, json: options.Json = False) -> None:
    """Show the API keys: names, roles, and when they end. The keys themselves are kept nowhere."""
    keys = _folders(config)[1].all()

    def render(console: Console) -> None:
        rows = table(None, "name", "roles", "made", "until", "ends with")
        for key in keys:
            until = f"{key.expires:%Y-%m-%d}" if key.expires else "-"
            rows.add_row(
                escape(key.name), ", ".join(sorted(key.roles)), f"{key.created:%Y-%m-%d}", until, escape(key.ends)
            )
        console.print(rows if keys else "There is no API key. `iodeep keys add NAME` makes one.")

    Output(json).answer({"keys": [_shown(key) for key in keys]}, render)


def keys_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whom the key is for; it stands in the audit log.")],
    role: Annotated[UserRole, typer.Option("--role", help="What its holder may do.")] = UserRole.SERVICE,
    days: Annotated[int, typer.Option("--days", help="How long it is good for; 0: until it is revoked.")] = KEY_DAYS,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Make an API key and show it, this once. A running service takes it at once."""
    folders, keys = _folders(config)
    key, text = keys.add(name, frozenset({role}), days if days > 0 else None)
    _note(folders, f"API key {key.id} made for {key.name}, {role.value}")

    def render(console: Console) -> None:
        console.print(text, markup=False)
        until = f"until {key.expires:%Y-%m-%d}" if key.expires else "until it is revoked"
        console.print(
            escape(
                f"For {key.name}, {role.value}, {until}. It is not shown again. Send it as Authorization: Bearer KEY."
            )
        )

    Output(json).answer({"key": text, **_shown(key)}, render)


def keys_revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The key's name or identifier.")],
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Take an API key away. A running service refuses it, and ends its holder's sessions, at once."""
    folders, keys = _folders(config)
    key = keys.revoke(name)
    _note(folders, f"API key {key.id} of {key.name} revoked")

    def render(console: Console) -> None:
        console.print(escape(f"The key {key.name} (...{key.ends}) opens nothing any more."))

    Output(json).answer(_shown(key), render)


def tls_init(
    out: Annotated[Path, typer.Option("--out", help="Folder for the files; nothing in it is written over.")],
    host: Annotated[list[str], typer.Option("--host", help="A name or address of this machine; may be given again.")],
    days: Annotated[int, typer.Option("--days", help="How long the certificates are good for.")] = END_DAYS,
    json: options.Json = False,
) -> None:
    """Make a CA, a server's and a client's certificate, for tests and small sites.

    Shows what to write into `iodeep.toml`, and a command of DCMTK to try it with. A hospital with a CA of its own has it sign
    a certificate instead.
    """
    made = make_certificates(out.absolute(), host, days)
    document = {path.name: str(path) for path in made.all} | {"toml": _toml(made), "try": _try(made, host[0])}

    def render(console: Console) -> None:
        console.print(escape(f"Made in {made.folder}. In iodeep.toml:\n"))
        console.print(_toml(made), markup=False)
        console.print("For the listener, a client without a certificate of this CA gets nothing. To try it:\n")
        console.print(_try(made, host[0]), markup=False)
        console.print(
            escape(
                f"\nGive {made.ca.name} to whoever calls us. Keep {made.ca_key.name} elsewhere: it makes new certificates."
            )
        )

    Output(json).answer(document, render)


def tls_check(
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="PEM file; by default those of the settings.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its key.")] = None,
    ca: Annotated[Path | None, typer.Option("--ca", help="The CA that signed it.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="A name or address that it has to hold.")] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Look at certificates: time (30 days ahead), key, names, and the path to the CA. Ends with code 8 where one is not good."""
    found = {
        name: check_certificates(tls.certificate, tls.key, ca or tls.client_ca, host)
        for name, tls in _to_check(certificate, key, config).items()
    }

    def render(console: Console) -> None:
        rows = table(None, "", "where", "what", "found")
        for name, check in ((name, check) for name, checks in found.items() for check in checks):
            rows.add_row("[green]ok[/]" if check.good else "[red]no[/]", name, check.subject, escape(check.sentence))
        console.print(rows)

    Output(json).answer({name: [_as_json(check) for check in checks] for name, checks in found.items()}, render)
    if not all(check.good for checks in found.values() for check in checks):
        raise typer.Exit(ExitCode.SETTINGS)


def audit_verify(
    expect: Annotated[
        str | None,
        typer.Option("--expect", help="NUMBER:HASH of a line as a syslog receiver keeps it; it has to be in the log."),
    ] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="A copy of the log, elsewhere.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its key; audit.key in the data folder by default.")] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Read the whole audit log, and say whether and where it was edited, cut, added to or reordered. Ends with code 5 then."""
    folders, _ = _folders(config)
    check = verify_log(folder or folders.audit, key or key_file(folders.root), _expected(expect))
    document = {
        "whole": check.whole,
        "lines": check.lines,
        "last": {"sequence": check.last_sequence, "hash": check.last_hash},
        "breaks": [{"file": each.file, "line": each.line, "problem": each.problem} for each in check.breaks],
    }

    def render(console: Console) -> None:
        for each in check.breaks:
            console.print(f"[red]no[/] {escape(str(each))}")
        state = "as it was written" if check.whole else f"[red]changed in {len(check.breaks)} places[/]"
        console.print(f"{check.lines} lines, {state}. The last is {check.last_sequence}:{check.last_hash}")

    Output(json).answer(document, render)
    if not check.whole:
        raise typer.Exit(ExitCode.NOT_TRUSTED)


def audit_show(
    since: Annotated[
        str | None, typer.Option("--since", help="A span such as 2h, 7d, or a date: 2026-11-21, with a time or not.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only what this user, system or AE title did.")] = None,
    patient: Annotated[str | None, typer.Option("--patient", help="Only what touched this Patient ID.")] = None,
    kind: Annotated[EventKind | None, typer.Option("--kind", help="Only events of this kind.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.")] = 100,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Show what was recorded, newest first: when, what, by whom, to whose data."""
    wanted = AuditFilter(
        since=_moment(since) if since else None,
        user=user or "",
        patient_id=patient or "",
        kinds=frozenset({kind} if kind else ()),
    )
    events = read_events(_folders(config)[0].audit, wanted, limit)

    def render(console: Console) -> None:
        rows = table(None, "number", "when", "what", "by", "from", "patient", "detail")
        for each in events:
            event = each.event
            rows.add_row(
                str(each.sequence),
                f"{event.when.astimezone():%Y-%m-%d %H:%M:%S}",
                event.kind.value + ("" if event.outcome == "0" else " [red](failed)[/]"),
                *map(escape, (event.user, event.address, event.patient_id, event.detail)),
            )
        console.print(rows if events else "Nothing was recorded that matches.")

    Output(json).answer({"events": [_recorded(each) for each in events]}, render)


def _folders(config: Path | None) -> tuple[DataFolders, ApiKeys]:
    configuration = load_configuration(config)
    folders = DataFolders(data_folder(configuration), configuration.settings.serve)
    return folders, ApiKeys(folders.api_keys)


def _note(folders: DataFolders, detail: str) -> None:
    """Who may call us has changed (Security Alert, User Security Attributes Changed)."""
    event = AuditEvent(EventKind.SECURITY_ALERT, user=getpass.getuser(), event_type="110137", detail=detail)
    AuditLog(folders.audit, key_file(folders.root), "terminal").record(event)


def _shown(key: ApiKey) -> dict[str, object]:
    """What may be seen of a key: neither its hash nor its salt."""
    return key.model_dump(mode="json", exclude={"hash", "salt"})


def _as_json(check: CertificateCheck) -> dict[str, object]:
    return {"good": check.good, "what": check.subject, "found": check.sentence}


def _recorded(each: RecordedEvent) -> dict[str, object]:
    return {"sequence": each.sequence, "hash": each.hash, "process": each.process, **as_document(each.event)}


def _toml(made: MadeCertificates) -> str:
    return (
        f'[serve.http.tls]\ncertificate = "{made.server}"\nkey = "{made.server_key}"\n\n'
        f'[serve.listener.tls]\ncertificate = "{made.server}"\nkey = "{made.server_key}"\nclient_ca = "{made.ca}"\n'
    )


def _try(made: MadeCertificates, host: str) -> str:
    return f"echoscu --enable-tls {made.client_key} {made.client} --add-cert-file {made.ca} -aec IODEEP {host} 11112"


def _to_check(certificate: Path | None, key: Path | None, config: Path | None) -> dict[str, ServerTlsSettings]:
    if certificate is not None:
        return {"certificate": ServerTlsSettings(certificate=certificate, key=key or certificate.with_suffix(".key"))}
    serve = load_configuration(config).settings.serve
    configured = {"listener": serve.listener.tls, "http": serve.http.tls}
    if not (named := {name: tls for name, tls in configured.items() if tls is not None}):
        raise InputError(
            "no certificate is configured",
            remedy="Set serve.http.tls or serve.listener.tls, or name a file with --certificate.",
        )
    return named


def _expected(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    number, _, mark = text.partition(":")
    if not number.isdecimal() or not re.fullmatch("[0-9a-f]{64}", mark):
        raise InputError(f"{text!r} is no line", expected="NUMBER:HASH, as `iodeep audit verify` shows the last")
    return int(number), mark


def _moment(text: str) -> datetime:
    """A span back from now, or a date of the local clock."""
    if span := _SPAN.fullmatch(text):
        return datetime.now().astimezone() - timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise InputError(f"{text!r} is no moment", expected="2h, 7d, 2026-11-21 or 2026-11-21T08:00") from error
