"""Commands about where models stand at this site: show it, and decide about them."""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.errors import InputError, IODeepError
from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor, read_descriptor
from iodeep.ports import Archive
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, people, table
from iodeep.service.cli.signing import asked_signing_key
from iodeep.service.configuration import Configuration, load_configuration
from iodeep.service.library import fetch_descriptor
from iodeep.service.lifecycle.archiving import check_nothing_lost, read_records, store_records
from iodeep.service.lifecycle.at_terminal import register_at_terminal
from iodeep.service.lifecycle.comparing import Found, compared
from iodeep.service.lifecycle.deciding import (
    Decided,
    Decider,
    Surroundings,
    change,
    name_of,
    notice,
    promote,
    registered,
    roll_back,
)
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.trusting import policy_of
from iodeep.trust.lifecycle import ModelState, RegisteredRelease, Standing, StateRecord
from pacs_bridge import open_archive

Uid = Annotated[str, typer.Argument(metavar="UID", help="A model's study or descriptor UID.")]
Reason = Annotated[str, typer.Option("--reason", help="Why: shown with the state from now on.")]
By = Annotated[
    str | None, typer.Option("--by", help="Your name; by default that of your key's owner, or of your login.")
]
Key = Annotated[
    str | None,
    typer.Option("--key", help="Your own signing key (see `iodeep sign --key`), where the site asks for one."),
]
SkipShadow = Annotated[
    bool, typer.Option("--skip-shadow", help="Approve it although it never ran as a shadow: you answer for that.")
]


def states(
    uid: Annotated[str | None, typer.Argument(metavar="[UID]", help="One model's study or descriptor UID.")] = None,
    pacs: options.Pacs = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Show where each model stands at this site: its state, since when, by whom, why; with UID all that became of it.

    The register's whole chain of signed records is checked; exit code 5 where a record was altered, lost or moved. With
    `--pacs` the archive is looked at too: models that were never registered are listed, and one that was replaced under
    its SOP Instance UID goes to quarantine.
    """
    output = Output(json)
    configuration = load_configuration(config)
    with register_at_terminal(configuration) as register, tempfile.TemporaryDirectory(prefix="iodeep-") as name:
        if uid is None:
            rows = _rows(configuration, register, pacs, Path(name))
            output.answer(
                {"models": [_found_document(row) for row in rows]}, lambda console: _render_rows(console, rows)
            )
            return
        standing = _need_registered(register, uid)
        history = register.history(standing.release.sop_instance_uid)
        if pacs:
            with open_archive(configuration.settings.archive(pacs)) as archive:
                check_nothing_lost(
                    history, read_records(archive, register, standing.release.study_instance_uid, Path(name))
                )
    document = _standing_document(standing) | {"history": [record.model_dump(mode="json") for record in history]}
    output.answer(document, lambda console: _render_history(console, standing, history))


def quarantine(
    uid: Uid,
    reason: Reason,
    pacs: options.Pacs = None,
    by: By = None,
    key: Key = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Put a model to quarantine: it runs no more until it is checked and approved anew.

    A model that is registered needs no archive for that.

    Example: `iodeep quarantine 2.25.1234 --reason "wrong side in two cases"`
    """
    with _deciding(config, pacs, by, key, reason) as at:
        standing = registered(at.register, uid)
        if standing is None:
            with at.archive() as archive:
                notice(archive, at.register, uid, at.workspace, at.who.name)
            standing = _need_registered(at.register, uid)
        decided = change(at.register, standing.release, ModelState.QUARANTINED, at.who)
        at.keep(uid)
    _tell(Output(json), Decided(decided))


def shadow(
    uid: Uid,
    reason: Reason,
    pacs: options.Pacs = None,
    by: By = None,
    key: Key = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Let a model run as a shadow: its results go to an archive of their own (`shadow_archive`), and nobody is treated by them.

    What it has not passed yet here (digests, trust, self-test) is done first. Exit code 5 where something doesn't hold.
    """
    with _deciding(config, pacs, by, key, reason) as at:
        decided = at.promote(uid, ModelState.SHADOW, Output(json))
    _tell(Output(json), decided)


def approve(
    uid: Uid,
    reason: Reason,
    pacs: options.Pacs = None,
    by: By = None,
    key: Key = None,
    skip_shadow: SkipShadow = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Approve a model: from now on it may run at this site.

    What it has not passed yet here is done first: it is fetched, every digest and the network's structure are checked, the
    site's trust policy asked, the self-test run in the contained runtime. Each step is a signed record. Exit code 5 where
    something doesn't hold: then it is in quarantine, with the reason. Where the site asks for two people, the first one's
    approval waits for the second's.

    Example: `iodeep approve 2.25.1234 --pacs hospital --reason "our trial of 40 cases" --skip-shadow`
    """
    with _deciding(config, pacs, by, key, reason) as at:
        decided = at.promote(uid, ModelState.APPROVED, Output(json), skip_shadow=skip_shadow)
    _tell(Output(json), decided)


def retire(
    uid: Uid,
    reason: Reason,
    pacs: options.Pacs = None,
    by: By = None,
    key: Key = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Retire a model: it runs no more, because it is not needed any longer."""
    with _deciding(config, pacs, by, key, reason) as at:
        standing = _need_registered(at.register, uid)
        decided = change(at.register, standing.release, ModelState.RETIRED, at.who)
        at.keep(uid)
    _tell(Output(json), Decided(decided))


def rollback(
    model: Annotated[str, typer.Argument(metavar="NAME", help="The model's name, or a UID of it.")],
    reason: Reason,
    pacs: options.Pacs = None,
    by: By = None,
    key: Key = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Take a model's newest approved release back: it is retired, and the one approved before it is approved again.

    Both or neither. The earlier release has to be in the archive as it was approved. Exit code 5 where there is none.

    Example: `iodeep rollback "Brain mask" --pacs hospital --reason "misses small lesions"`
    """
    with _deciding(config, pacs, by, key, reason) as at:
        with at.archive() as archive:
            newest, older = roll_back(archive, at.register, model, at.who, at.workspace)
        for each in (newest, older):
            at.keep(each.release.sop_instance_uid)
    document = {"retired": _standing_document(newest), "approved": _standing_document(older)}
    said = f"{newest.release.name} is {newest.state}; {older.release.name} is {older.state} again."
    Output(json).answer(document, lambda console: console.print(escape(said)))


@dataclass(frozen=True)
class _Deciding:
    """What a decision is made with."""

    configuration: Configuration
    pacs: str | None
    register: SiteRegister
    who: Decider
    workspace: Path

    def archive(self) -> Archive:
        return open_archive(self.configuration.settings.archive(self.pacs))

    def promote(self, uid: str, to: ModelState, output: Output, *, skip_shadow: bool = False) -> Decided:
        settings = self.configuration.settings
        trust = policy_of(settings, serving=False)
        with self.archive() as archive, output.progress() as progress, Engine(settings.run) as engine:
            around = Surroundings(archive, self.register, engine, self.workspace, trust, progress)
            try:
                return promote(around, uid, to, self.who, skip_shadow=skip_shadow)
            finally:
                self.keep(uid)

    def keep(self, uid: str) -> None:
        """Store the release's records in the archive, where the site wants that. What was decided holds whether it is there or not."""
        standing = registered(self.register, uid) if self.register.rules.settings.store_records else None
        if standing is None:
            return
        try:
            with self.archive() as archive:
                store_records(archive, self.register, self._descriptor(archive, standing), self.workspace)
        except IODeepError as error:
            said = f"the register has it, and the archive has no copy of the record yet: {error} The next change stores it too."
            people(stderr=True).print(f"[yellow]note[/]: {escape(said)}")

    def _descriptor(self, archive: Archive, standing: Standing) -> ModelDescriptor:
        folder = self.workspace / "records" / standing.release.sop_instance_uid
        return read_descriptor(fetch_descriptor(archive, standing.release.study_instance_uid, folder))


@contextmanager
def _deciding(
    config: Path | None, pacs: str | None, by: str | None, key: str | None, reason: str
) -> Iterator[_Deciding]:
    configuration = load_configuration(config)
    signer = asked_signing_key(key, None, configuration) if key else None
    with register_at_terminal(configuration) as register, tempfile.TemporaryDirectory(prefix="iodeep-") as name:
        login = getpass.getuser()
        who = Decider(name_of(register.rules, signer, by, login), reason, signer, login)
        yield _Deciding(configuration, pacs, register, who, Path(name))


def _need_registered(register: SiteRegister, uid: str) -> Standing:
    standing = registered(register, uid)
    if standing is None:
        raise InputError(
            f"this site has not registered a model {uid}",
            expected="the UID of a study or descriptor, as `iodeep states` shows them",
            remedy="`iodeep approve` registers, checks and approves one.",
        )
    return standing


def _rows(configuration: Configuration, register: SiteRegister, pacs: str | None, workspace: Path) -> tuple[Found, ...]:
    if not pacs:
        return tuple(Found(each.release, each) for each in register.standings())
    with open_archive(configuration.settings.archive(pacs)) as archive:
        return compared(register, archive, workspace, getpass.getuser())


def _standing_document(standing: Standing) -> dict[str, Any]:
    return {
        **_release_document(standing.release),
        "state": standing.state.value,
        "since": standing.since.isoformat(),
        "by": standing.by,
        "reason": standing.reason,
        "approved_by": list(standing.approved_by),
    }


def _release_document(release: RegisteredRelease) -> dict[str, Any]:
    return release.model_dump(mode="json")


def _found_document(found: Found) -> dict[str, Any]:
    standing = _standing_document(found.standing) if found.standing else _release_document(found.release)
    return {"state": None, **standing, "note": found.note or None}


def _render_rows(console: Console, rows: tuple[Found, ...]) -> None:
    shown = table(None, "model", "state", "since", "by", "why", "descriptor")
    for row in rows:
        standing = row.standing
        told = (
            (standing.state.value, f"{standing.since.astimezone():%Y-%m-%d %H:%M}", standing.by, standing.reason)
            if standing
            else ("not registered", "", "", "")
        )
        why = "; ".join(filter(None, (told[3], row.note)))
        shown.add_row(
            *map(escape, (row.release.name, *told[:3], why)),
            row.release.sop_instance_uid,
        )
    console.print(shown if rows else "This site has registered no model.")


def _render_history(console: Console, standing: Standing, history: tuple[StateRecord, ...]) -> None:
    release = standing.release
    console.print(escape(f"{release.name} is {standing.state} (manifest {release.manifest_sha256})."))
    shown = table(None, "record", "when", "what", "by", "why")
    for record in history:
        signed = ", signed" if record.signature else ""
        evidence = "\n".join(f"{name}: {text}" for name, text in record.evidence.items())
        shown.add_row(
            str(record.sequence),
            f"{record.at.astimezone():%Y-%m-%d %H:%M:%S}",
            _what(record),
            *map(escape, (record.by + signed, "\n".join(filter(None, (record.reason, evidence))))),
        )
    console.print(shown)
    console.print("Every record of the register holds.")


def _what(record: StateRecord) -> str:
    if record.is_note:
        return f"{record.after}, noted"
    if record.after is not record.wanted:
        return f"{record.wanted} by the first of two"
    return record.after.value


def _tell(output: Output, decided: Decided) -> None:
    standing = decided.standing
    checks = [{"subject": c.subject, "holds": c.holds, "sentence": c.sentence} for c in decided.checks]

    def render(console: Console) -> None:
        for check in decided.checks:
            console.print("[green]ok[/]" if check.holds else "[red]no[/]", escape(check.sentence))
        waits = standing.approved_by and standing.state in (ModelState.SELF_TESTED, ModelState.SHADOW)
        more = f" {' and '.join(standing.approved_by)} approved it; another person has to." if waits else ""
        console.print(escape(f"{standing.release.name} is {standing.state}.{more}"))

    output.answer(_standing_document(standing) | {"checks": checks}, render)
