"""A site's trust policy: whether a model may be used here, by whom it is signed, and what the site asks besides.

Doubt refuses. A signature that was altered refuses the model whatever others it bears; one of a key that is not trusted, has
expired or was revoked just doesn't count. Every refusal is a sentence of its own that says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from iodeep.card import ModelCard
from iodeep.errors import IntegrityError, NotTrustedError, SettingsError
from iodeep.model_object import ModelDescriptor, Signature
from iodeep.model_object.signature_object import MOST_SIGNATURES
from iodeep.trust.revocations import RevocationList, Revocations
from iodeep.trust.signatures.checking import CheckedSignature, check_path, check_signature, other_certificates
from iodeep.trust.signatures.keys import ED25519, key_id_of, read_public
from iodeep.trust.signatures.statement import Statement
from iodeep.trust_settings import SignerRole, TrustedKeySettings, TrustSettings

CLOCKS_DIFFER = timedelta(days=1)
"""By so much a signer's clock may be ahead of ours."""


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

    def __str__(self) -> str:
        return f"signed as {self.role.value} by {self.name} on {self.signed_at:%Y-%m-%d} (key {self.key})"


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
    revocations: Revocations | None = None

    def judge(self, model: ModelInQuestion, signatures: Sequence[Signature], now: datetime) -> TrustVerdict:
        """The verdict on a model with all the signatures that were found for it. ``now``: with a time zone."""
        try:
            revoked = self.revocations.current(now) if self.revocations else None
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
        self, signature: Signature, model: ModelInQuestion, revoked: RevocationList | None, now: datetime
    ) -> GoodSignature:
        """The signature where it counts. Errors: IntegrityError where it was altered, _DoesNotCountError where it doesn't count."""
        kind, _, identifier = signature.type_and_key.partition(" ")
        if kind == ED25519:
            trusted = next((key for key in self.keys if key.identifier == identifier), None)
            if trusted is None or not isinstance(trusted.public, Ed25519PublicKey):
                raise _DoesNotCountError(_unknown(signature))
            checked = check_signature(signature, trusted.public)
        else:
            checked = check_signature(signature)
            trusted = self._ca_of(checked, signature, now)
        _check_about(checked.statement, model, signature.where)
        for key in {identifier, trusted.identifier}:
            if revoked is not None and key in revoked.keys:
                raise _DoesNotCountError(
                    f"the key {key} of {trusted.rules.name} is revoked ({revoked.keys[key]}): have the model signed with another key"
                )
        against = [*_out_of_time(checked, now), *trusted.reasons_against(checked.statement, model.card, now)]
        if against:
            raise _DoesNotCountError("; ".join(against))
        return GoodSignature(_who(trusted, checked), checked.statement.role, identifier, checked.statement.signed_at)

    def _ca_of(self, checked: CheckedSignature, signature: Signature, now: datetime) -> TrustedKey:
        """The trusted CA that the signer's certificate leads to."""
        assert checked.certificate is not None
        subject = checked.certificate.subject.rfc4514_string()
        others = other_certificates(signature)
        reasons = []
        for key in self.keys:
            if isinstance(key.public, x509.Certificate) and fnmatchcase(subject, key.rules.subject):
                reason = check_path(checked, key.public, now, others)
                if not reason:
                    return key
                reasons.append(f"{key.rules.name}: {reason}")
        if reasons and now > checked.certificate.not_valid_after_utc:
            raise _DoesNotCountError(
                f"the certificate of {subject} expired on {checked.certificate.not_valid_after_utc:%Y-%m-%d}:"
                " have the model signed with a newer one"
            )
        raise _DoesNotCountError(f"{_unknown(signature)} ({subject}{': ' if reasons else ''}{'; '.join(reasons)})")


def trust_policy(settings: TrustSettings, *, serving: bool) -> TrustPolicy:
    """The policy of ``[trust]``. ``serving``: nobody looks on, so what is unsigned is refused unless the site says otherwise.

    Errors: :class:`iodeep.errors.SettingsError` where a key cannot be read.
    """
    refuse = settings.unsigned == "refuse" if settings.unsigned else serving
    keys = tuple(TrustedKey(rules, read_public(rules.file.expanduser())) for rules in settings.keys)
    return TrustPolicy(settings, keys, refuse, _revocations(settings))


def _revocations(settings: TrustSettings) -> Revocations | None:
    if settings.revocation is None:
        return None
    key = read_public(settings.revocation.key.expanduser())
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(
            "the key of the revocation list is a certificate",
            expected="an Ed25519 public key",
            remedy="Name a file that `iodeep signing-key new` made, under [trust.revocation] in iodeep.toml.",
        )
    return Revocations(settings.revocation.file.expanduser(), key)


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
    if statement.signed_at > now + CLOCKS_DIFFER:
        yield (
            f"its signature as {statement.role.value} is of {statement.signed_at:%Y-%m-%d}, which is still to come:"
            " set this machine's clock right, or ask the signer"
        )


def _revoked_model(model: ModelInQuestion, revoked: RevocationList | None) -> Iterator[str]:
    if revoked is not None and model.manifest_sha256 in revoked.manifests:
        reason = revoked.manifests[model.manifest_sha256]
        yield f"this model is revoked ({reason}): use another one, and take it out of the archive"


def _unsigned(missing: Sequence[str], signatures: Sequence[Signature]) -> str:
    signed = "no signature" if not signatures else "no signature that counts"
    return (
        f"it bears {signed} as {' and as '.join(missing)}: have it signed (`iodeep sign`), or set unsigned under [trust]"
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
