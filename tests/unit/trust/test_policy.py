"""Each reason for which a site refuses a model is a sentence of its own, and doubt refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from iodeep.errors import InputError, NotTrustedError, SettingsError
from iodeep.model_object import PackedModel, read_descriptor
from iodeep.model_object.manifest import canonical_json
from iodeep.trust.policy import ModelInQuestion, trust_policy
from iodeep.trust.revocations import RevocationList, SignedList, write_revocations
from iodeep.trust.signatures import SignerRole
from iodeep.trust.signatures.keys import ed25519_public
from iodeep.trust.signatures.signing import signed_bytes
from iodeep.trust_settings import TrustSettings
from tests.unit.model_object.models import pack_ensemble
from tests.unit.trust.signing import (
    DAY,
    NOW,
    certificate_authority,
    issued,
    judged,
    key_files,
    policy,
    signed,
    write_certificate,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return pack_ensemble(tmp_path_factory.mktemp("model"))


def test_who_signed_as_what_is_told(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)

    verdict = judged(policy(public), model, signed(model, key, tmp_path))

    assert verdict.accepted
    assert not verdict.warnings
    assert str(verdict.good[0]).startswith("signed as developer by the developer on 20")


def test_unsigned_is_refused_by_the_service_and_told_on_the_command_line(model: PackedModel, tmp_path: Path) -> None:
    _, public = key_files(tmp_path)

    (refusal,) = judged(policy(public, serving=True), model).refusals
    terminal = judged(policy(public, serving=False), model)

    assert "bears no signature as developer" in refusal
    assert "iodeep sign" in refusal
    assert terminal.accepted
    assert "bears no signature as developer" in terminal.warnings[0]
    assert judged(policy(public, serving=True, unsigned="warn"), model).accepted
    assert not judged(policy(public, serving=False, unsigned="refuse"), model).accepted


@pytest.mark.parametrize(
    ("trusted", "words"),
    [
        ({"roles": ["hospital"]}, "is not trusted as developer"),
        ({"developers": ["Somebody else"]}, "is not trusted with models of"),
        ({"modalities": ["CT"]}, "is not trusted with MR models"),
        ({"until": (NOW - DAY).date()}, "was trusted until"),
    ],
)
def test_a_key_counts_only_for_what_it_is_trusted_with(
    model: PackedModel, tmp_path: Path, trusted: dict[str, Any], words: str
) -> None:
    key, public = key_files(tmp_path)

    (refusal,) = judged(policy(public, key=trusted), model, signed(model, key, tmp_path)).refusals

    assert words in refusal


def test_a_key_that_nobody_trusts_is_named(model: PackedModel, tmp_path: Path) -> None:
    _, public = key_files(tmp_path)
    stranger, _ = key_files(tmp_path, "stranger")

    (refusal,) = judged(policy(public, serving=False), model, signed(model, stranger, tmp_path)).refusals

    assert "a key that this site does not trust" in refusal
    assert stranger.type_and_id in refusal


def test_a_signature_counts_until_its_last_day(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    signature = signed(model, key, tmp_path, valid_until=NOW.date())

    assert judged(policy(public), model, signature, now=NOW).accepted
    (refusal,) = judged(policy(public), model, signature, now=NOW + DAY).refusals
    assert "was good until" in refusal


def test_a_signature_of_days_to_come_shows_a_wrong_clock(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)

    (refusal,) = judged(policy(public), model, signed(model, key, tmp_path), now=NOW - 3 * DAY).refusals

    assert "clock" in refusal


def test_a_day_that_is_over_is_not_signed_for(model: PackedModel, tmp_path: Path) -> None:
    key, _ = key_files(tmp_path)
    with pytest.raises(InputError, match="over already"):
        signed(model, key, tmp_path, valid_until=(NOW - 2 * DAY).date())


def test_each_role_that_is_asked_for_is_needed(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    hospital, hospital_public = key_files(tmp_path, "hospital")
    settings = TrustSettings.model_validate(
        {
            "keys": [
                {"name": "developer", "file": public, "roles": ["developer"]},
                {"name": "hospital", "file": hospital_public, "roles": ["hospital"]},
            ],
            "roles": ["developer", "hospital"],
            "research": True,
        }
    )
    trust = trust_policy(settings, serving=True)
    first = signed(model, key, tmp_path)

    (refusal,) = judged(trust, model, first).refusals
    both = judged(trust, model, first, signed(model, hospital, tmp_path, SignerRole.HOSPITAL))

    assert "no signature that counts as hospital" in refusal
    assert both.accepted
    assert [each.name for each in both.good] == ["developer", "hospital"]


def test_a_certificate_leads_to_its_ca_and_no_other(model: PackedModel, tmp_path: Path) -> None:
    ca, other = certificate_authority(), certificate_authority()
    public = write_certificate(tmp_path / "ca.pem", ca)
    trust = policy(public)

    assert judged(trust, model, signed(model, issued(ca), tmp_path)).accepted
    (refusal,) = judged(trust, model, signed(model, issued(other), tmp_path)).refusals
    assert "does not lead to the CA" in refusal
    (refusal,) = judged(
        policy(public, key={"subject": "CN=Someone*"}), model, signed(model, issued(ca), tmp_path)
    ).refusals
    assert "a key that this site does not trust" in refusal


def test_a_certificate_that_has_expired_is_named(model: PackedModel, tmp_path: Path) -> None:
    ca = certificate_authority()
    public = write_certificate(tmp_path / "ca.pem", ca)
    signature = signed(model, issued(ca, days=5), tmp_path)

    assert judged(policy(public), model, signature).accepted
    (refusal,) = judged(policy(public), model, signature, now=NOW + 6 * DAY).refusals
    assert "expired on" in refusal


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"minimum_cases": 100_000}, "test cases"),
        ({"licences": ["Nobody-1.0"]}, "licence"),
        ({"research": False}, "research alone"),
    ],
)
def test_what_a_site_asks_besides_is_a_sentence_each(
    model: PackedModel, tmp_path: Path, rules: dict[str, Any], words: str
) -> None:
    key, public = key_files(tmp_path)

    (refusal,) = judged(policy(public, **rules), model, signed(model, key, tmp_path)).refusals

    assert words in refusal


def revoking(tmp_path: Path, *what: str, days: int = 1) -> dict[str, Any]:
    """A list with these, and the settings that name it."""
    key, public = key_files(tmp_path, "authority")
    issued_at = datetime.now(UTC).replace(microsecond=0)
    revoked = RevocationList(issued_at=issued_at, valid_until=(NOW + days * DAY).date())
    for each in what:
        revoked = revoked.with_revoked(each, "lost", issued_at, revoked.valid_until)
    write_revocations(tmp_path / "revoked.json", revoked, key)
    return {"revocation": {"file": tmp_path / "revoked.json", "key": public}}


def test_a_revoked_key_counts_no_longer(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    signature = signed(model, key, tmp_path)

    assert judged(policy(public, **revoking(tmp_path)), model, signature).accepted
    (refusal,) = judged(policy(public, **revoking(tmp_path, key.type_and_id.split()[1])), model, signature).refusals
    assert "is revoked (lost)" in refusal


def test_a_revoked_ca_takes_its_certificates_with_it(model: PackedModel, tmp_path: Path) -> None:
    ca = certificate_authority()
    public = write_certificate(tmp_path / "ca.pem", ca)
    rules = revoking(tmp_path, policy(public).keys[0].identifier)

    (refusal,) = judged(policy(public, **rules), model, signed(model, issued(ca), tmp_path)).refusals

    assert "is revoked (lost)" in refusal


def test_a_revoked_model_is_refused_whoever_signed_it(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    trust = policy(public, **revoking(tmp_path, model.identity.manifest_sha256))

    (refusal,) = judged(trust, model, signed(model, key, tmp_path)).refusals

    assert "this model is revoked (lost)" in refusal


@pytest.mark.parametrize("harm", ["missing", "altered", "outdated", "nonsense"])
def test_a_list_that_cannot_be_relied_on_withdraws_everything(model: PackedModel, tmp_path: Path, harm: str) -> None:
    key, public = key_files(tmp_path)
    trust = policy(public, **revoking(tmp_path, "ab" * 20))
    signature, path = signed(model, key, tmp_path), tmp_path / "revoked.json"
    assert judged(trust, model, signature).accepted
    now = NOW
    if harm == "missing":
        path.unlink()
    elif harm == "altered":
        document = json.loads(path.read_text())
        document["list"]["keys"] = {}
        path.write_text(json.dumps(document))
    elif harm == "nonsense":
        path.write_text("[1]")
    else:
        now = NOW + 3 * DAY

    (refusal,) = judged(trust, model, signature, now=now).refusals

    assert "list of what is revoked" in refusal
    assert "iodeep revoke" in refusal


def test_a_list_whose_moment_could_be_any_of_a_day_is_not_relied_on(tmp_path: Path) -> None:
    """Without a time zone nobody can say which of two lists is the newer."""
    key, _ = key_files(tmp_path)
    made = RevocationList(issued_at=NOW, valid_until=(NOW + DAY).date()).model_dump(mode="json")
    contents = [
        canonical_json(made | {"issued_at": moment}) for moment in ("2026-11-21T08:00:00Z", "2026-11-21T08:00:00")
    ]
    zoned, bare = (SignedList(each, signed_bytes(each, key), key.type_and_id, "it") for each in contents)

    assert zoned.checked(ed25519_public(key)).issued_at.utcoffset() is not None
    with pytest.raises(NotTrustedError, match="cannot be relied on"):
        bare.checked(ed25519_public(key))


def test_a_trusted_key_that_cannot_be_read_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("nothing")
    with pytest.raises(SettingsError, match="cannot be read"):
        policy(tmp_path / "broken.pem")


def test_a_name_is_given_once(tmp_path: Path) -> None:
    key = {"name": "twice", "file": tmp_path, "roles": ["developer"]}
    with pytest.raises(ValueError, match="same name"):
        TrustSettings.model_validate({"keys": [key, key]})


def test_too_many_signatures_are_refused(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    signature = signed(model, key, tmp_path)

    (refusal,) = judged(policy(public), model, *[signature] * 33).refusals

    assert "more than 32 signatures" in refusal
    assert read_descriptor(model.descriptor).attributes["PatientID"].startswith("AIM1.")


def test_an_attribute_that_is_not_what_was_signed_is_named_and_a_dropped_one_is_not(
    model: PackedModel, tmp_path: Path
) -> None:
    key, public = key_files(tmp_path)
    signature, question = signed(model, key, tmp_path), ModelInQuestion.of(read_descriptor(model.descriptor))

    for keyword in question.attributes:
        changed = replace(question, attributes={**question.attributes, keyword: "something else"})
        (refusal,) = policy(public).judge(changed, [signature], datetime.now(UTC)).refusals
        assert f"{keyword} is not what was signed" in refusal
    dropped = replace(question, attributes={**question.attributes, "BodyPartExamined": ""})
    assert policy(public).judge(dropped, [signature], datetime.now(UTC)).accepted
