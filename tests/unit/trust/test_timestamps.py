"""A time stamp says when a signature was there, so that it outlives its key's and certificate's expiry, and never their revocation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iodeep.errors import InputError, SettingsError
from iodeep.model_object import PackedModel, Signature, read_descriptor, read_signature
from iodeep.service.signing import sign_model
from iodeep.service.time_stamping import time_stamped
from iodeep.trust.policy import TrustPolicy
from iodeep.trust.revocations import RevocationList, write_revocations
from iodeep.trust.signatures import SignerRole, SigningKey
from iodeep.trust.signatures.timestamps import stamp_of
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
from tests.unit.trust.time_authority import TimeAuthority, answering

LATER = NOW + 60 * DAY
"""When keys and certificates of the tests have expired."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return pack_ensemble(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TimeAuthority:
    return TimeAuthority(tmp_path_factory.mktemp("time") / "authority").make()


def stamped(model: PackedModel, key: SigningKey, folder: Path, authority: TimeAuthority) -> Signature:
    """A time-stamped signature, out of a file."""
    descriptor = read_descriptor(model.descriptor)
    with answering(authority) as url:
        path = sign_model(
            descriptor, key, SignerRole.DEVELOPER, folder, stamped=lambda signature: time_stamped(signature, url)
        )
    return read_signature(path)


def certified_key(folder: Path, authority: TimeAuthority) -> tuple[SigningKey, TrustPolicy]:
    """A key whose certificate is good for 30 days, and a policy that trusts its CA and the time authority."""
    ca = certificate_authority()
    return issued(ca, with_rsa=True), policy(write_certificate(folder / "ca.pem", ca), time_authorities=[authority.ca])


def test_a_signature_outlives_its_certificate(model: PackedModel, authority: TimeAuthority, tmp_path: Path) -> None:
    key, trust = certified_key(tmp_path, authority)
    bare = signed(model, key, tmp_path)
    (without,) = judged(trust, model, bare, now=LATER).refusals
    found = judged(trust, model, stamped(model, key, tmp_path, authority), now=LATER)

    assert "expired on" in without
    assert found.accepted
    assert f"time-stamped on {datetime.now():%Y-}" in str(found.good[0])


def test_a_signature_outlives_the_day_until_which_its_key_is_trusted(
    model: PackedModel, authority: TimeAuthority, tmp_path: Path
) -> None:
    key, public = key_files(tmp_path)
    rules = {"until": (NOW + 30 * DAY).date()}
    trust = policy(public, key=rules, time_authorities=[authority.ca])
    late = policy(public, key={"until": (NOW - 30 * DAY).date()}, time_authorities=[authority.ca])
    signature = stamped(model, key, tmp_path, authority)

    assert judged(trust, model, signature, now=LATER).accepted
    assert not judged(trust, model, replace(signature, timestamp=b""), now=LATER).accepted
    assert "was trusted until" in judged(late, model, signature, now=datetime.now(UTC)).refusals[0]


def test_a_revoked_key_does_not_count_whenever_it_signed(
    model: PackedModel, authority: TimeAuthority, tmp_path: Path
) -> None:
    key, public = key_files(tmp_path)
    signature = stamped(model, key, tmp_path, authority)
    revoked = RevocationList(issued_at=NOW - DAY, valid_until=LATER.date())
    identifier = key.type_and_id.split()[1]
    write_revocations(tmp_path / "l.json", revoked.with_revoked(identifier, "lost", NOW - DAY, LATER.date()), key)
    trust = policy(public, time_authorities=[authority.ca], revocation={"file": tmp_path / "l.json", "key": public})

    (refusal,) = judged(trust, model, signature).refusals

    assert "is revoked (lost)" in refusal


def test_the_last_day_that_the_signer_named_stays_the_last(
    model: PackedModel, authority: TimeAuthority, tmp_path: Path
) -> None:
    key, public = key_files(tmp_path)
    descriptor = read_descriptor(model.descriptor)
    with answering(authority) as url:
        path = sign_model(
            descriptor,
            key,
            SignerRole.DEVELOPER,
            tmp_path,
            (NOW + DAY).date(),
            stamped=lambda signature: time_stamped(signature, url),
        )

    (refusal,) = judged(
        policy(public, time_authorities=[authority.ca]), model, read_signature(path), now=LATER
    ).refusals

    assert "was good until" in refusal


def test_a_time_stamp_of_another_signature_or_authority_or_none_that_holds_gives_nothing(
    model: PackedModel, authority: TimeAuthority, tmp_path: Path
) -> None:
    key, trust = certified_key(tmp_path, authority)
    signature = stamped(model, key, tmp_path, authority)
    other = stamped(model, issued(certificate_authority()), tmp_path, authority)
    stranger = TimeAuthority(tmp_path / "stranger").make()
    signed_part = signature.timestamp.index(authority.certificate.subject.public_bytes()) // 2
    altered = bytearray(signature.timestamp)
    altered[signed_part] ^= 1

    for timestamp in (other.timestamp, stamped(model, key, tmp_path, stranger).timestamp, bytes(altered), b"nonsense"):
        doubtful = replace(signature, timestamp=timestamp)
        (refusal,) = judged(trust, model, doubtful, now=LATER).refusals
        assert "expired on" in refusal
        assert "its time stamp does not hold" in refusal
        assert judged(trust, model, doubtful).accepted
    (unasked,) = judged(replace(trust, time_authorities=()), model, signature, now=LATER).refusals
    assert "this site trusts no time authority" in unasked


def test_a_time_stamp_that_is_still_to_come_says_that_the_clock_is_wrong(
    model: PackedModel, authority: TimeAuthority, tmp_path: Path
) -> None:
    key, public = key_files(tmp_path)
    trust = policy(public, time_authorities=[authority.ca])

    (refusal,) = judged(trust, model, stamped(model, key, tmp_path, authority), now=NOW - DAY / 2).refusals

    assert "its time stamp is of" in refusal
    assert "set this machine's clock right" in refusal


@pytest.mark.parametrize("answer", [b"", b"nonsense", b"0\x03\x02\x01\x02", b"\x30\x80" * 30_000])
def test_an_authority_that_answers_something_else_is_told(
    model: PackedModel, authority: TimeAuthority, tmp_path: Path, answer: bytes
) -> None:
    key, _ = key_files(tmp_path)
    signature = signed(model, key, tmp_path)

    with answering(authority, answer) as url, pytest.raises(InputError, match="gave no time stamp"):
        time_stamped(signature, url)


def test_an_answer_to_another_request_is_no_time_stamp(
    model: PackedModel, authority: TimeAuthority, tmp_path: Path
) -> None:
    key, _ = key_files(tmp_path)
    signature = signed(model, key, tmp_path)
    with answering(authority) as url:
        time_stamped(signature, url)
    replayed = (authority.folder / "answer").read_bytes()

    with answering(authority, replayed) as url, pytest.raises(InputError, match="another request"):
        time_stamped(signature, url)


def test_an_authority_that_is_not_there_is_told(model: PackedModel, tmp_path: Path) -> None:
    key, _ = key_files(tmp_path)
    signature = signed(model, key, tmp_path)
    for url in ("http://127.0.0.1:1/", "nonsense", "ftp://example.org"):
        with pytest.raises(InputError, match="does not answer"):
            time_stamped(signature, url)


def test_a_certificate_of_an_authority_that_cannot_be_read_is_a_setting_to_correct(tmp_path: Path) -> None:
    _, public = key_files(tmp_path)
    with pytest.raises(SettingsError, match="time_authorities"):
        policy(public, time_authorities=[tmp_path / "none.pem"])


@pytest.fixture(scope="module")
def there(authority: TimeAuthority) -> Signature:
    """A time-stamped signature of nobody's."""
    with answering(authority) as url:
        return time_stamped(Signature(b"{}", b"v" * 64, "ED25519 00"), url)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_garbled_token_says_what_it_said_or_nothing(
    authority: TimeAuthority, there: Signature, data: st.DataObject
) -> None:
    token = bytearray(there.timestamp)
    for _ in range(data.draw(st.integers(1, 4))):
        token[data.draw(st.integers(0, len(token) - 1))] = data.draw(st.integers(0, 255))
    said = stamp_of(there, [authority.certificate]).moment

    assert said is not None
    assert stamp_of(replace(there, timestamp=bytes(token)), [authority.certificate]).moment in (None, said)
