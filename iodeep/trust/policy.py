"""A site's trust policy: whether a model may be used here, by whom it is signed, and what the site asks besides.

Doubt refuses. A signature that was altered refuses the model whatever others it bears; one of a key that is not trusted, has
expired or was revoked just doesn't count. Every refusal is a sentence of its own that says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from iodeep.card import ModelCard
from iodeep.errors import InputError, IntegrityError, NotTrustedError, SettingsError
from iodeep.model_object import ModelDescriptor, Signature
from iodeep.model_object.signature_object import MOST_SIGNATURES
from iodeep.trust.memory import CLOCK_SLACK, OTHERS_SLACK, Memory, Seen, check_clock, check_not_older
from iodeep.trust.revocations import Revocations, Withdrawn, withdrawn_by
from iodeep.trust.signatures.checking import CheckedSignature, check_path, check_signature, other_certificates
from iodeep.trust.signatures.keys import ED25519, key_id_of, read_certificate, read_public
from iodeep.trust.signatures.statement import Statement
from iodeep.trust_settings import RevocationSettings, SignerRole, TrustedKeySettings, TrustSettings


@dataclass(frozen=True)
class TrustedKey:
    """A key or CA of the settings, with its identifier."""

    rules: TrustedKeySettings
    public: Ed25519PublicKey | x509.Certificate

    @property
    def identifier(self) -> str:
        """40 hexadecimal digits."""
        key = self.public.public_key() if isinstance(self.public, x509.Certificate) else self.public
        return key_id_of(key)

    def reasons_against(self, statement: Statement, card: ModelCard, now: datetime) -> Iterator[str]:
        """Why what this key signs does not count for this."""
        rules = self.rules
        if rules.until is not None and now.date() > rules.until:
            yield f"{rules.name} was trusted until {rules.until} only: renew it under [[trust.keys]], or have the model signed with a newer key"
        if statement.role not in rules.roles:
            yield f"{rules.name} is not trusted as {statement.role.value}: add that to its roles, or have somebody else sign"
        if not any(fnmatchcase(card.developer.name, pattern) for pattern in rules.developers):
            yield f"{rules.name} is not trusted with models of {card.developer.name}: add it to its developers if it should be"
        if rules.modalities and not {each.modality for each in card.inputs} <= set(rules.modalities):
            yield f"{rules.name} is not trusted with {card.modality} models: add that to its modalities if it should be"


@dataclass(frozen=True)
class ModelInQuestion:
    """What is judged: the card and manifest, and the attributes of its instance where that was just read."""

    card: ModelCard
    manifest_sha256: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, descriptor: ModelDescriptor) -> ModelInQuestion:
        """The model of a descriptor."""
        return cls(descriptor.card, descriptor.identity.manifest_sha256, descriptor.attributes)


@dataclass(frozen=True)
class GoodSignature:
    """A signature that counts: who signed, as what, when."""

    name: str
    role: SignerRole
    key: str
    signed_at: datetime
    stamped_at: datetime | None = None
    """When a time authority saw the signature, where a time stamp of it counts."""

    def __str__(self) -> str:
        stamped = f", time-stamped on {self.stamped_at:%Y-%m-%d}" if self.stamped_at else ""
        return f"signed as {self.role.value} by {self.name} on {self.signed_at:%Y-%m-%d}{stamped} (key {self.key})"


@dataclass(frozen=True)
class TrustVerdict:
    """Whether the site accepts a model, and why not."""

    good: tuple[GoodSignature, ...]
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether it may be run."""
        return not self.refusals

    @property
    def distrusted(self) -> str:
        """All refusals in one line without a full stop; empty where there is none."""
        return "; ".join(self.refusals)


@dataclass(frozen=True)
class TrustPolicy:
    """The settings with the keys that they name."""

    settings: TrustSettings
    keys: tuple[TrustedKey, ...]
    refuse_unsigned: bool
    revocations: tuple[Revocations, ...] = ()
    time_authorities: tuple[x509.Certificate, ...] = ()
    memory: Memory | None = None
    """What was seen before; None: nothing is remembered."""

    def judge(self, model: ModelInQuestion, signatures: Sequence[Signature], now: datetime) -> TrustVerdict:
        """The verdict on a model with all the signatures that were found for it. ``now``: with a time zone."""
        try:
            revoked = self._withdrawn(now)
        except NotTrustedError as error:
            return TrustVerdict((), (_line(error),))
        good: list[GoodSignature] = []
        not_counted: list[str] = []
        altered: list[str] = []
        refusals = [*_revoked_model(model, revoked), *self._terms(model.card)]
        if len(signatures) > MOST_SIGNATURES:
            refusals.append(f"it bears more than {MOST_SIGNATURES} signatures: remove those that are not needed")
        for signature in signatures[:MOST_SIGNATURES]:
            try:
                good.append(self._counted(signature, model, revoked, now))
            except IntegrityError as error:
                altered.append(_line(error))
            except _DoesNotCountError as reason:
                not_counted.append(str(reason))
            except Exception as error:  # boundary: a certificate from outside makes its reader raise whatever it will
                altered.append(f"{signature.where} cannot be read ({error}): remove that instance from the archive")
        refusals += altered
        missing = [role.value for role in self.settings.roles if role not in {each.role for each in good}]
        if missing and (signatures or self.refuse_unsigned):
            refusals += not_counted or ([] if altered else [_unsigned(missing, signatures)])
            return TrustVerdict(tuple(good), tuple(refusals))
        warnings = [_unsigned(missing, signatures)] if missing else not_counted
        return TrustVerdict(tuple(good), tuple(refusals), tuple(warnings))

    def _withdrawn(self, now: datetime) -> Withdrawn:
        """What is withdrawn. NotTrustedError where the clock or a list is not to be relied on, or went back."""
        if self.memory is not None:
            check_clock(self.memory, now)
        lists = {each.issuer: each.current(now) for each in self.revocations}
        if self.memory is not None:
            for each in self.revocations:
                check_not_older(self.memory, each.issuer, lists[each.issuer].issued_at, each.where)
            issued = {issuer: found.issued_at for issuer, found in lists.items()}
            moments = [now, *(moment - OTHERS_SLACK for moment in issued.values())]
            self.memory.keep(Seen(max(moments), issued))
        return withdrawn_by(lists.values())

    def _terms(self, card: ModelCard) -> Iterator[str]:
        """What the site asks besides signatures."""
        settings, cases = self.settings, sum(figure.cases for figure in card.performance)
        if cases < settings.minimum_cases:
            yield f"its card reports {cases} test cases, and this site asks for {settings.minimum_cases}: ask its developer for evidence"
        if settings.licences and card.licence.spdx not in settings.licences:
            yield f"its licence {card.licence.spdx} is not among those that this site accepts: add it to licences under [trust] if it may be used"
        if card.qualification == "RESEARCH" and not settings.research:
            yield "it is for research alone (Content Qualification RESEARCH): set research = true under [trust] where nobody is treated by its results"

    def _counted(
        self, signature: Signature, model: ModelInQuestion, revoked: Withdrawn, now: datetime
    ) -> GoodSignature:
        """The signature where it counts. Errors: IntegrityError where it was altered, _DoesNotCountError where it doesn't count.

        Whether a key or certificate had expired is asked of the moment of the time stamp, where one counts; whether it is revoked
        never is: a key that was stolen was so before anybody noticed.
        """
        stamped, problem = self._stamped(signature)
        if stamped is not None and stamped > now + CLOCK_SLACK:
            raise _DoesNotCountError(
                f"its time stamp is of {stamped:%Y-%m-%d %H:%M} UTC, which is still to come: set this machine's clock right"
            )
        try:
            checked, trusted = self._checked(signature, stamped or now)
            _check_about(checked.statement, model, signature.where)
            self._check_counts(checked, trusted, model, revoked, now, stamped or now)
        except _DoesNotCountError as reason:
            raise _DoesNotCountError("; ".join(filter(None, (str(reason), problem)))) from reason
        statement, (_, _, identifier) = checked.statement, signature.type_and_key.partition(" ")
        if self.memory is not None:
            self.memory.keep(Seen(max(stamped or now, statement.signed_at - OTHERS_SLACK)))
        return GoodSignature(_who(trusted, checked), statement.role, identifier, statement.signed_at, stamped)

    def _stamped(self, signature: Signature) -> tuple[datetime | None, str]:
        """The moment of the signature's time stamp, and why there is none that counts; None and nothing where it bears none."""
        if not signature.timestamp:
            return None, ""
        from iodeep.trust.signatures.timestamps import stamp_of  # readers of ASN.1, for those that bear one

        stamp = stamp_of(signature, self.time_authorities)
        return stamp.moment, stamp.problem

    def _checked(self, signature: Signature, moment: datetime) -> tuple[CheckedSignature, TrustedKey]:
        """A signature that holds, and the key of the site's that vouches for it."""
        kind, _, identifier = signature.type_and_key.partition(" ")
        if kind != ED25519:
            checked = check_signature(signature)
            return checked, self._ca_of(checked, signature, moment)
        trusted = next((key for key in self.keys if key.identifier == identifier), None)
        if trusted is None or not isinstance(trusted.public, Ed25519PublicKey):
            raise _DoesNotCountError(_unknown(signature))
        return check_signature(signature, trusted.public), trusted

    def _check_counts(
        self,
        checked: CheckedSignature,
        trusted: TrustedKey,
        model: ModelInQuestion,
        revoked: Withdrawn,
        now: datetime,
        moment: datetime,
    ) -> None:
        """_DoesNotCountError with every reason for which the site does not count it; ``moment``: when the signature was there."""
        statement = checked.statement
        for key in {statement.key.partition(" ")[2], trusted.identifier}:
            if key in revoked.keys:
                raise _DoesNotCountError(
                    f"the key {key} of {trusted.rules.name} is revoked ({revoked.keys[key]}): have the model signed with another key"
                )
        against = [*_out_of_time(checked, now), *trusted.reasons_against(statement, model.card, moment)]
        if against:
            raise _DoesNotCountError("; ".join(against))

    def _ca_of(self, checked: CheckedSignature, signature: Signature, moment: datetime) -> TrustedKey:
        """The trusted CA that the signer's certificate leads to at the moment: now, or when the signature was time-stamped."""
        assert checked.certificate is not None
        subject = checked.certificate.subject.rfc4514_string()
        others = other_certificates(signature)
        reasons = []
        for key in self.keys:
            if isinstance(key.public, x509.Certificate) and fnmatchcase(subject, key.rules.subject):
                reason = check_path(checked, key.public, moment, others)
                if not reason:
                    return key
                reasons.append(f"{key.rules.name}: {reason}")
        if reasons and moment > checked.certificate.not_valid_after_utc:
            raise _DoesNotCountError(
                f"the certificate of {subject} expired on {checked.certificate.not_valid_after_utc:%Y-%m-%d}:"
                " have the model signed with a newer one"
            )
        raise _DoesNotCountError(f"{_unknown(signature)} ({subject}{': ' if reasons else ''}{'; '.join(reasons)})")


def trust_policy(
    settings: TrustSettings,
    *,
    serving: bool,
    memory: Memory | None = None,
    fetched: Callable[[RevocationSettings, str], FetchedList] = lambda *_: FetchedList(),
) -> TrustPolicy:
    """The policy of ``[trust]``. ``serving``: nobody looks on, so what is unsigned is refused unless the site says otherwise.

    ``fetched``: of a list and its issuer, where what came out of its archive lies. Errors: :class:`iodeep.errors.SettingsError`
    where a key cannot be read.
    """
    refuse = settings.unsigned == "refuse" if settings.unsigned else serving
    keys = tuple(TrustedKey(rules, read_public(rules.file.expanduser())) for rules in settings.keys)
    lists = tuple(_revocations(rules, fetched) for rules in settings.revocation)
    return TrustPolicy(settings, keys, refuse, lists, _time_authorities(settings), memory)


@dataclass(frozen=True)
class FetchedList:
    """Where a list lies that came out of an archive, and how to look for a newer one."""

    path: Path | None = None
    refresh: Callable[[], None] = lambda: None


def key_of_list(rules: RevocationSettings) -> Ed25519PublicKey:
    """The key that a list has to be signed with. Errors: :class:`iodeep.errors.SettingsError`."""
    key = read_public(rules.key.expanduser())
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(
            "the key of the revocation list is a certificate",
            expected="an Ed25519 public key",
            remedy="Name a file that `iodeep signing-key new` made, under [trust.revocation] in iodeep.toml.",
        )
    return key


def _revocations(rules: RevocationSettings, fetched: Callable[[RevocationSettings, str], FetchedList]) -> Revocations:
    key = key_of_list(rules)
    there = fetched(rules, key_id_of(key)) if rules.pacs else FetchedList()
    return Revocations(rules.file.expanduser() if rules.file else None, key, there.path, there.refresh)


def _time_authorities(settings: TrustSettings) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(read_certificate(path.expanduser()) for path in settings.time_authorities)
    except InputError as error:
        raise SettingsError(
            f"a time authority's certificate cannot be read: {error}",
            remedy="Correct time_authorities under [trust] in iodeep.toml.",
        ) from error


class _DoesNotCountError(Exception):
    """A signature that nobody altered, and that this site does not count."""


def _check_about(statement: Statement, model: ModelInQuestion, where: str) -> None:
    """The statement is about this model, as it is here. An attribute that an archive dropped is not an altered one."""
    if statement.manifest_sha256 != model.manifest_sha256:
        raise IntegrityError(
            f"{where} is for another model, or the manifest was replaced since",
            expected=f"manifest {statement.manifest_sha256}",
            found=f"manifest {model.manifest_sha256}",
            remedy="Find out who replaced it: a release is never changed",
        )
    for keyword, found in model.attributes.items():
        signed = statement.attributes.get(keyword)
        if signed is not None and found and found != signed:
            raise IntegrityError(
                f"{keyword} is not what was signed",
                expected=signed or "nothing",
                found=found,
                remedy="The archive or a gateway on the way changed it: store the model again without that",
            )


def _out_of_time(checked: CheckedSignature, now: datetime) -> Iterator[str]:
    statement = checked.statement
    if statement.valid_until is not None and now.date() > statement.valid_until:
        yield f"its signature as {statement.role.value} was good until {statement.valid_until}: have the model signed again"
    if statement.signed_at > now + OTHERS_SLACK:
        yield (
            f"its signature as {statement.role.value} is of {statement.signed_at:%Y-%m-%d}, which is still to come:"
            " set this machine's clock right, or ask the signer"
        )


def _revoked_model(model: ModelInQuestion, revoked: Withdrawn) -> Iterator[str]:
    if model.manifest_sha256 in revoked.manifests:
        reason = revoked.manifests[model.manifest_sha256]
        yield f"this model is revoked ({reason}): use another one, and take it out of the archive"


def _unsigned(missing: Sequence[str], signatures: Sequence[Signature]) -> str:
    signed = "no signature" if not signatures else "no signature that counts"
    return (
        f'it bears {signed} as {" and as ".join(missing)}: have it signed (`iodeep sign`), or set unsigned = "warn" under [trust] in iodeep.toml'
        if not signatures
        else f"it bears {signed} as {' and as '.join(missing)}: have it signed as that (`iodeep sign`)"
    )


def _unknown(signature: Signature) -> str:
    return (
        f"{signature.where} is by a key that this site does not trust ({signature.type_and_key}):"
        " if you know whose it is, add it under [[trust.keys]] in iodeep.toml"
    )


def _who(trusted: TrustedKey, checked: CheckedSignature) -> str:
    if checked.certificate is None:
        return trusted.rules.name
    return f"{checked.certificate.subject.rfc4514_string()} ({trusted.rules.name})"


def _line(error: IntegrityError | NotTrustedError) -> str:
    return str(error).rstrip(".")
