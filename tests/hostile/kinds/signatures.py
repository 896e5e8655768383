"""Signatures: statements, values, keys, certificates and lists of what is revoked; forged, and truly signed nonsense."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from iodeep.errors import NotTrustedError
from iodeep.model_object import PackedModel, Signature, read_descriptor, read_signature
from iodeep.model_object.manifest import canonical_json
from iodeep.service.trusting import signatures_in_files
from iodeep.trust.policy import ModelInQuestion, TrustPolicy
from iodeep.trust.revocations import RevocationList, Revocations, write_revocations
from iodeep.trust.signatures import SigningKey
from iodeep.trust.signatures.signing import signed_bytes
from tests.hostile.canary import Canary
from tests.hostile.judging import Mutant, WrongError
from tests.hostile.kinds.folders import emptied, written
from tests.hostile.models import packed
from tests.hostile.mutating import octets
from tests.hostile.mutating.dicom import Spoiler
from tests.hostile.mutating.documents import changed
from tests.hostile.signed import certified, key, policy, signature_file

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATEMENT, VALUE, KIND = "statement", "value", "type and key"


@dataclass
class Signatures:
    """A model, its signatures by two trusted signers, the list of what is revoked, and the site's policy."""

    signatures: tuple[Signature, ...]
    signers: tuple[SigningKey, ...]
    file: bytes
    revoked: bytes
    trust: TrustPolicy
    model: ModelInQuestion
    spoiler: Spoiler
    canary: Canary
    folder: Path
    memory_mib: int = 100

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Nothing stays."""
        return (self.folder / "tmp",)

    def mutant(self, random: Random) -> Mutant:
        """A signature's parts, its file, or the list."""
        how = random.random()
        if how < 0.2:
            return {"signature.dcm": self.spoiler.spoilt(self.file, random)}
        if how < 0.35:
            return {"revoked.json": _list_of(json.loads(self.revoked), self.revoked, random, self.canary)}
        which = random.randrange(len(self.signatures))
        given, signer = self.signatures[which], self.signers[which]
        if how < 0.55:
            given = _resigned(given, signer, random, self.canary)
        elif how < 0.85:
            given = replace(given, value=octets.spoilt(given.value, random))
        elif how < 0.92:
            given = replace(given, statement=octets.spoilt(given.statement, random))
        else:
            text = octets.spoilt(given.type_and_key.encode(), random).decode("utf-8", "replace")
            given = replace(given, type_and_key=text)
        return {STATEMENT: given.statement, VALUE: given.value, KIND: given.type_and_key.encode()}

    def receive(self, mutant: Mutant) -> bool:
        """Judged by the site's policy; only what a trusted key truly signed counts."""
        if "revoked.json" in mutant:
            return self._with_list(mutant["revoked.json"])
        if "signature.dcm" in mutant:
            given = signatures_in_files([written(self.folder / "in", mutant)])
        else:
            given = (Signature(mutant[STATEMENT], mutant[VALUE], mutant[KIND].decode(), "signature 1.2.3"),)
        verdict = self.trust.judge(self.model, given, NOW)
        if verdict.accepted and not all(self._truly_signed(each) for each in given):
            raise WrongError(f"counted, though nobody signed it: {verdict.good}")
        if not verdict.accepted:
            raise NotTrustedError(verdict.distrusted)
        return True

    def _truly_signed(self, given: Signature) -> bool:
        """Statements that mean what was signed: the original, or one that a trusted key signed for this very model."""
        if given.statement in {each.statement for each in self.signatures}:
            return True
        return bool(json.loads(given.statement)["manifest_sha256"] == self.model.manifest_sha256)

    def _with_list(self, content: bytes) -> bool:
        path = self.folder / "revoked.json"
        path.write_bytes(content)
        lists = tuple(Revocations(path, each.key) for each in self.trust.revocations)
        trust = replace(self.trust, revocations=lists)
        verdict = trust.judge(self.model, self.signatures[:1], NOW)
        if not verdict.accepted:
            raise NotTrustedError(verdict.distrusted)
        return True

    def close(self) -> None:
        """Nothing was started."""


def target(folder: Path, canary: Canary) -> Signatures:
    """A model that two people signed whom the site trusts."""
    model = packed(folder / "base")
    emptied(folder / "in")
    jane = certified("Jane Signer", ca := certified("Test CA"))
    signers = (key(), jane)
    files = [_own(folder, model, signer) for signer in signers]
    trust = policy(folder / "base", key(), ca, office=key("office"))
    now = RevocationList(issued_at=NOW, valid_until=NOW.date())
    write_revocations(folder / "base" / "revoked.json", now, key("office"))
    found = Signatures(
        tuple(map(read_signature, files)), signers, files[0].read_bytes(), (folder / "base" / "revoked.json").read_bytes(),
        trust, ModelInQuestion.of(read_descriptor(model.descriptor)), Spoiler(canary), canary, folder,
    )  # fmt: skip
    for each in found.signatures:
        assert found.receive({STATEMENT: each.statement, VALUE: each.value, KIND: each.type_and_key.encode()})
    return found


def _own(folder: Path, model: PackedModel, signer: SigningKey) -> Path:
    into = folder / "base" / signer.type_and_id.partition(" ")[0]
    into.mkdir()
    return signature_file(model, into, signer)


def _resigned(given: Signature, signer: SigningKey, random: Random, canary: Canary) -> Signature:
    """What a trusted signer never says, truly signed."""
    statement = canonical_json(changed(json.loads(given.statement), random, canary, finite=True))
    return replace(given, statement=statement, value=signed_bytes(statement, signer))


def _list_of(document: dict[str, Any], content: bytes, random: Random, canary: Canary) -> bytes:
    how = random.random()
    if how < 0.3:
        return octets.spoilt(content, random)
    if how < 0.5:
        return json.dumps(changed(document, random, canary)).encode()
    listed = changed(document["list"], random, canary, finite=True)
    signature = signed_bytes(canonical_json(listed), key("office")).hex()
    return json.dumps({**document, "list": listed, "signature": signature}).encode()
