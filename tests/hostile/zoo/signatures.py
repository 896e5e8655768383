"""Signatures: of other models, by other keys, by certificates that sign what they may not; lists that nobody signed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from iodeep.errors import NotTrustedError
from iodeep.model_object import Signature, read_descriptor, read_signature
from iodeep.trust.policy import ModelInQuestion, TrustPolicy
from iodeep.trust.revocations import RevocationList, write_revocations
from tests.hostile.models import packed
from tests.hostile.signed import certified, key, policy, signature_file
from tests.hostile.zoo.ground import Ground
from tests.hostile.zoo.specimen import Cage

CAGE = Cage()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def site(ground: Ground) -> TrustPolicy:
    """A site that trusts one developer's key, and the holders of one CA's certificates."""
    trust = policy(ground.place, key(), certified("Test CA"), office=key("office"))
    write_revocations(
        ground.place / "revoked.json", RevocationList(issued_at=NOW, valid_until=NOW.date()), key("office")
    )
    return trust


def judge(ground: Ground, *given: Signature, trust: TrustPolicy | None = None) -> None:
    """NotTrustedError unless the site accepts the model by these signatures."""
    model = ModelInQuestion.of(read_descriptor(ground.model.descriptor))
    verdict = (trust or site(ground)).judge(model, given, NOW)
    if not verdict.accepted:
        raise NotTrustedError(verdict.distrusted)


def signature(ground: Ground, signer: str = "developer", ca: str = "") -> Signature:
    """A true signature of the model."""
    folder = ground.place / f"by-{signer}"
    folder.mkdir()
    chosen = certified(signer, certified(ca)) if ca else key(signer)
    return read_signature(signature_file(ground.model, folder, chosen))


@CAGE.keep("signature-true", "nothing: what the site trusts is accepted, by a key and by a certificate")
def _true(ground: Ground) -> None:
    judge(ground, signature(ground))
    judge(ground, signature(ground, "Jane Signer", "Test CA"))


@CAGE.keep(
    "signature-of-another-model", "trust: a true signature of another model", NotTrustedError, "is for another model"
)
def _another(ground: Ground) -> None:
    other = packed(ground.place / "other", card=ground.card(name="Other"))
    judge(ground, read_signature(signature_file(other, ground.place)))


@CAGE.keep(
    "signature-by-a-stranger", "trust: a true signature by a key that nobody knows", NotTrustedError, "does not trust"
)
def _stranger(ground: Ground) -> None:
    judge(ground, signature(ground, "stranger"))


@CAGE.keep(
    "signature-under-anothers-name",
    "trust: a stranger's signature that names a trusted key",
    NotTrustedError,
    "does not hold",
)
def _claimed(ground: Ground) -> None:
    judge(ground, replace(signature(ground, "stranger"), type_and_key=key().type_and_id))


@CAGE.keep(
    "signature-type-swapped",
    "trust: one type of signature under another's name",
    NotTrustedError,
    "no CMS|does not hold",
)
def _swapped(ground: Ground) -> None:
    given = signature(ground)
    judge(ground, replace(given, type_and_key=given.type_and_key.replace("ED25519", "CMS")))


@CAGE.keep(
    "signature-of-no-type",
    "trust: a type that means no signature",
    NotTrustedError,
    "type that this software does not know",
)
def _none(ground: Ground) -> None:
    judge(ground, replace(signature(ground), type_and_key="NONE " + "0" * 40))


@CAGE.keep("signature-malleable", "trust: a statement with a space more", NotTrustedError, "does not hold")
def _space(ground: Ground) -> None:
    given = signature(ground)
    judge(ground, replace(given, statement=given.statement + b" "))


@CAGE.keep(
    "certificate-of-a-namesake",
    "trust: a CA of the same name and another key",
    NotTrustedError,
    "does not trust|does not lead",
)
def _namesake(ground: Ground) -> None:
    judge(ground, signature(ground, "Jane Signer", "Test  CA"))


@CAGE.keep(
    "certificate-by-a-holder",
    "trust: a certificate that a signer made for another",
    NotTrustedError,
    "does not trust|does not lead",
)
def _holder(ground: Ground) -> None:
    holder = certified("Jane Signer", certified("Test CA"))
    folder = ground.place / "by-holder"
    folder.mkdir()
    judge(ground, read_signature(signature_file(ground.model, folder, certified("Mallory", holder))))


@CAGE.keep(
    "certificate-of-its-own",
    "trust: a certificate that signed itself",
    NotTrustedError,
    "does not trust|does not lead|not for signing",
)
def _own(ground: Ground) -> None:
    folder = ground.place / "by-itself"
    folder.mkdir()
    judge(ground, read_signature(signature_file(ground.model, folder, certified("Mallory"))))


@CAGE.keep(
    "certificate-of-the-ca",
    "trust: the CA's own certificate, which is not for signing models",
    NotTrustedError,
    "not for signing|does not trust",
)
def _ca(ground: Ground) -> None:
    folder = ground.place / "by-ca"
    folder.mkdir()
    judge(ground, read_signature(signature_file(ground.model, folder, certified("Test CA"))))


@CAGE.keep(
    "signatures-by-the-hundred", "time: more signatures than are looked at", NotTrustedError, "more than 32 signatures"
)
def _many(ground: Ground) -> None:
    judge(ground, *[signature(ground)] * 500)


@CAGE.keep("list-nobody-signed", "trust: a list of what is revoked, altered", NotTrustedError, "cannot be relied on")
def _list(ground: Ground) -> None:
    trust = site(ground)
    _altered_list(ground.place / "revoked.json")
    judge(ground, signature(ground), trust=trust)


@CAGE.keep("list-missing", "trust: no list of what is revoked", NotTrustedError, "cannot be relied on")
def _missing(ground: Ground) -> None:
    trust = site(ground)
    (ground.place / "revoked.json").unlink()
    judge(ground, signature(ground), trust=trust)


def _altered_list(path: Path) -> None:
    document = json.loads(path.read_bytes())
    document["list"]["valid_until"] = "2099-01-01"
    path.write_text(json.dumps(document), encoding="utf-8")
