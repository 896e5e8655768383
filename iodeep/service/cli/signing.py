"""Commands about who vouches for a model: signing keys, signing, withdrawing."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.console import Console
from rich.markup import escape

from iodeep.errors import InputError, SettingsError
from iodeep.model_object import Signature
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, table
from iodeep.service.configuration import Configuration, load_configuration, signing_passphrase
from iodeep.service.library import local_model, read_model
from iodeep.service.revoking import import_list, newest_list, store_list
from iodeep.service.signing import sign_model, write_new_key
from iodeep.service.signing_keys import nobody_to_ask, signing_key
from iodeep.service.storing import store_and_prove
from iodeep.service.subjects import is_uid
from iodeep.service.time_stamping import time_stamped
from iodeep.service.trust_memory import memory_folder
from iodeep.trust.policy import TrustPolicy, key_of_list, trust_policy
from iodeep.trust.revocations import RevocationList, Revocations, SignedList, read_list_file, write_revocations
from iodeep.trust.signatures import SigningKey, key_id_of, read_public
from iodeep.trust.signatures.keys import ed25519_public
from iodeep.trust_settings import SignerRole
from pacs_bridge import open_archive

LIST_DAYS = 90

_KEY = typer.Option(
    "--key",
    help="Your signing key: a PEM file, env:NAME (a variable with the PEM), or pkcs11:token=...;object=... (HSM, smart card)."
    " Passphrase and PIN: IODEEP_KEY_PASSPHRASE, IODEEP_PKCS11_PIN, or asked for.",
)
Key = Annotated[str, _KEY]


def key_new(
    out: Annotated[Path, typer.Option("--out", help="File for the private key; the public key goes beside it.")],
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Don't encrypt the file: only for where nobody is to be asked.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Make an Ed25519 key for signing models.

    The private key's file is for you alone (mode 0600) and encrypted with a passphrase: from the variable
    IODEEP_KEY_PASSPHRASE, or asked for. Give the public key to the sites that shall trust you.

    Example: `iodeep signing-key new --out developer.pem`
    """
    public = write_new_key(out, "" if no_passphrase else _new_passphrase())
    identifier = _identifier(public)

    def render(console: Console) -> None:
        console.print(escape(f"Private key {out}, public key {public}."))
        console.print(
            f"Key identifier {identifier}: tell it to others by telephone or on paper, so that they can compare it."
        )

    Output(json).answer({"private": str(out), "public": str(public), "id": identifier}, render)


def key_list(config: options.Config = None, json: options.Json = False) -> None:
    """Show the keys that this site trusts: with what, for what, until when."""
    policy = _policy(config)
    keys = [
        {
            "name": key.rules.name,
            "id": key.identifier,
            "kind": "CA" if isinstance(key.public, x509.Certificate) else "Ed25519",
            "roles": [role.value for role in key.rules.roles],
            "developers": list(key.rules.developers),
            "modalities": list(key.rules.modalities),
            "until": key.rules.until.isoformat() if key.rules.until else None,
        }
        for key in policy.keys
    ]

    def render(console: Console) -> None:
        rows = table(None, "name", "roles", "developers", "modalities", "until", "key")
        for key in keys:
            texts = [", ".join(key[name] or ["all"]) for name in ("roles", "developers", "modalities")]
            rows.add_row(escape(str(key["name"])), *map(escape, texts), str(key["until"] or "-"), str(key["id"]))
        console.print(rows if keys else "This site trusts nobody: name keys under [[trust.keys]] in iodeep.toml.")

    Output(json).answer({"keys": keys}, render)


def key_show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A public key or certificate, a PEM file.")],
    json: options.Json = False,
) -> None:
    """Show the identifier of a public key or certificate, to be compared with what its owner says."""
    identifier = _identifier(file)
    Output(json).answer({"id": identifier}, lambda console: console.print(identifier))


def sign(
    model: Annotated[
        str, typer.Argument(metavar="OBJECT|UID", help="A model's folder or descriptor file, or its UID in an archive.")
    ],
    key: Key,
    role: Annotated[SignerRole, typer.Option("--role", help="As what you vouch for it.")],
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="The key's certificate: then it is signed by CMS.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="The last day on which the signature counts, as 2027-12-31.")
    ] = None,
    timestamp: Annotated[
        str | None,
        typer.Option("--timestamp", metavar="URL", help="A time authority (RFC 3161) that says when it was signed."),
    ] = None,
    pacs: options.Pacs = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Sign a model: you vouch for its card, its networks, and the attributes that it is found by.

    The signature is a small DICOM instance of its own in the model's study; nothing that exists is changed, and others may
    sign too. In a folder it is put beside the descriptor; for a UID it is sent to the archive and proved to be there. With
    `--timestamp` the signature outlives its key's or certificate's expiry where a site trusts that time authority.

    Example: `iodeep sign brain-object --key developer.pem --role developer`
    """
    output, last = Output(json), _day(until) if until else None
    if not Path(model).exists() and not is_uid(model):
        raise InputError(f"{model} does not exist, and it is not a UID either")
    configuration = load_configuration(config)
    signer = asked_signing_key(key, certificate, configuration)

    def stamped(signature: Signature) -> Signature:
        return time_stamped(signature, timestamp) if timestamp else signature

    with tempfile.TemporaryDirectory(prefix="iodeep-") as name:
        if Path(model).exists():
            path, descriptor = local_model(Path(model)).descriptor_path, read_model(None, model, Path(name))
            written = sign_model(descriptor, signer, role, path.parent, last, stamped=stamped)
            where = "written"
        else:
            with (
                output.progress() as progress,
                open_archive(configuration.settings.archive(pacs)) as archive,
            ):
                descriptor = read_model(archive, model, Path(name))
                written = sign_model(descriptor, signer, role, Path(name), last, stamped=stamped)
                store_and_prove(archive, [written], progress=progress)
                where = f"stored in {archive.name}, and proved to be there"
    document = {"signature": written.name, "role": role.value, "key": signer.type_and_id, "where": where}
    document |= {"timestamp": timestamp} if timestamp else {}
    by = f", time-stamped by {timestamp}" if timestamp else ""
    said = f"Signed as {role.value} with {signer.type_and_id}{by}: {written.name}, {where}."
    output.answer(document, lambda console: console.print(escape(said)))


def revoke(
    what: Annotated[
        list[str] | None, typer.Argument(metavar="KEY|MANIFEST", help="A key's identifier, or a manifest's SHA-256.")
    ] = None,
    key: Annotated[str, _KEY] = "",
    file: Annotated[Path | None, typer.Option("--list", help="The list; made if it isn't there.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Shown wherever it is refused.")] = "withdrawn",
    days: Annotated[int, typer.Option("--days", min=1, help="How long the list may be relied on.")] = LIST_DAYS,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", metavar="PACS", help="Store the list in this archive too, for [trust.revocation] pacs."
        ),
    ] = None,
    taken: Annotated[
        str | None,
        typer.Option(
            "--import", metavar="FILE|PACS", help="Take the list of an issuer under [[trust.revocation]] from there."
        ),
    ] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Withdraw keys or models: they are added to the site's list, and the list is signed anew.

    Without KEY or MANIFEST the list is only made good for longer. A list that is out of date withdraws everything.
    With `--import` nothing is signed: the newest list of each issuer that the site asks is taken over, if it is newer.
    Where iodeep.toml has a section `[lifecycle]`, models that such a list withdraws are revoked in the site's register.

    Example: `iodeep revoke --list revoked.json --key hospital.pem --store main`
    """
    configuration = load_configuration(config)
    if taken is not None:
        if what or key or file or store:
            raise InputError("--import stands alone", remedy="Leave out the rest, or leave out --import.")
        _import_lists(configuration, taken, Output(json))
        return
    if not key or file is None:
        raise InputError("a list is written with --key and --list", remedy="Give both, or --import.")
    signer = asked_signing_key(key, None, configuration)
    asked_here = ed25519_public(signer) in _keys_of_lists(configuration)
    revoked, signed = _signed_anew(signer, file, what or (), reason, days)
    said = f"{len(revoked.keys)} keys and {len(revoked.manifests)} models are revoked; the list is good until {revoked.valid_until}."
    document = revoked.model_dump(mode="json")
    if store is not None:
        with open_archive(configuration.settings.archive(store)) as archive:
            document["sop_instance_uid"] = store_list(archive, signed, revoked)
            said += f" Stored in {archive.name}, and proved to be there."
    if asked_here:
        said += _marked(configuration, [revoked])
    Output(json).answer(document, lambda console: console.print(escape(said)))


def _signed_anew(
    signer: SigningKey, file: Path, what: Sequence[str], reason: str, days: int
) -> tuple[RevocationList, SignedList]:
    """The list with what is withdrawn now, written to its file."""
    now = datetime.now(UTC).replace(microsecond=0)
    last = now.date() + timedelta(days=days)
    revoked = RevocationList(issued_at=now, valid_until=last)
    if file.exists():
        known = Revocations(file, ed25519_public(signer)).read()
        now = max(now, known.issued_at + timedelta(seconds=1))  # of two of one second nobody could tell the newer
        revoked = known.model_copy(update={"issued_at": now, "valid_until": last})
    for each in what:
        revoked = revoked.with_revoked(each.strip().lower(), reason, now, last)
    return revoked, write_revocations(file, revoked, signer)


def _import_lists(configuration: Configuration, taken: str, output: Output) -> None:
    settings, folder = configuration.settings, memory_folder(configuration.settings)
    if Path(taken).is_file():
        found = [read_list_file(Path(taken))]
    else:
        with open_archive(settings.archive(taken)) as archive:
            found = [
                signed for key in _keys_of_lists(configuration) if (signed := newest_list(archive, key)) is not None
            ]
    if not found:
        raise InputError(
            f"{taken} holds no list of an issuer that this site asks",
            expected="a file that `iodeep revoke` wrote, or an archive with one that `iodeep revoke --store` stored there",
            remedy="Name the issuer's key under [[trust.revocation]] in iodeep.toml.",
        )
    lines, documents, taken_over = [], [], []
    for signed in found:
        revoked, path, newer = import_list(settings, signed, folder)
        state = f"is taken over to {path}" if newer else f"is no newer than that in {path}"
        lines.append(f"The list of {signed.type_and_key} of {revoked.issued_at:%Y-%m-%d %H:%M} UTC {state}.")
        documents.append(
            {"key": signed.type_and_key, "file": str(path), "newer": newer, **revoked.model_dump(mode="json")}
        )
        taken_over += [revoked] if newer else []
    said = "\n".join(lines) + _marked(configuration, taken_over)
    output.answer({"lists": documents}, lambda console: console.print(escape(said)))


def _keys_of_lists(configuration: Configuration) -> list[Ed25519PublicKey]:
    """Whose lists the site asks."""
    trust = configuration.settings.trust
    return [key_of_list(rules) for rules in (trust.revocation if trust else ())]


def _marked(configuration: Configuration, lists: Sequence[RevocationList]) -> str:
    """What to say of models that the site's register has, and that are revoked by these lists from now on."""
    manifests = {digest: reason for each in lists for digest, reason in each.manifests.items()}
    if configuration.settings.lifecycle is None or not manifests:
        return ""
    from iodeep.service.lifecycle.at_terminal import mark_revoked  # a database, for sites that keep a register

    names = mark_revoked(configuration, manifests)
    return f" Revoked at this site: {', '.join(names)}." if names else ""


def _policy(config: Path | None) -> TrustPolicy:
    trust = load_configuration(config).settings.trust
    if trust is None:
        raise SettingsError(
            "iodeep.toml says nothing of whom to trust", remedy="Add a [trust] section (docs/trust.md)."
        )
    return trust_policy(trust, serving=False)


def _identifier(path: Path) -> str:
    public = read_public(path)
    return key_id_of(public.public_key() if isinstance(public, x509.Certificate) else public)


def asked_signing_key(named: str, certificate: Path | None, configuration: Configuration) -> SigningKey:
    """The key that a person named; they are asked for what it is locked with, where no variable says it."""
    trust = configuration.settings.trust
    return signing_key(named, certificate, module=trust.pkcs11_module if trust else None, ask=_asked)


def _asked(prompt: str) -> str:
    if not sys.stdin.isatty():
        return nobody_to_ask(prompt)
    return str(typer.prompt(prompt, hide_input=True, err=True))


def _new_passphrase() -> str:
    given = signing_passphrase()
    if given is None and not sys.stdin.isatty():
        raise InputError(
            "a new key needs a passphrase", remedy="Set the variable IODEEP_KEY_PASSPHRASE, or give --no-passphrase."
        )
    return given or str(typer.prompt("Passphrase for the new key", hide_input=True, confirmation_prompt=True, err=True))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no day", expected="one such as 2027-12-31") from error
