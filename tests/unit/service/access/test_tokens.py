"""Access tokens: only one that this provider signed, for us, for now, of the right kind, opens anything."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from iodeep.errors import SettingsError
from iodeep.serve_settings import UserRole
from iodeep.service.access.oidc import TokenReader
from iodeep.service.access.provider import LAST_S, LOOK_AGAIN_S, Provider, is_safe_url
from iodeep.service.access.refusals import NotAuthenticated, ProviderUnavailable
from tests.unit.service.access.provider import EC, OKP, OTHER_RSA, Signer, running


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def shared() -> Iterator[Signer]:
    with running() as signer:
        yield signer


@pytest.fixture
def signer(shared: Signer) -> Signer:
    """The provider, as it was made."""
    issuer = shared.issuer
    shared.__init__()  # type: ignore[misc]
    shared.issuer = issuer
    return shared


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(signer: Signer, clock: Clock) -> Iterator[Provider]:
    made = Provider(signer.settings(), clock)
    yield made
    made.close()


@pytest.fixture
def reader(signer: Signer, provider: Provider) -> TokenReader:
    return TokenReader(signer.settings(), provider)


def test_a_valid_token_tells_who_and_what_they_may(signer: Signer, reader: TokenReader) -> None:
    principal = reader.principal_of(signer.token())

    assert (principal.name, principal.subject, principal.proof) == ("j.doe", "u-1", "oidc")
    assert principal.roles == {UserRole.CLINICIAN}


@pytest.mark.parametrize(("key", "alg"), [(EC, "ES256"), (OKP, "Ed25519"), (OTHER_RSA, "PS256")])
def test_each_asymmetric_algorithm_is_taken(signer: Signer, reader: TokenReader, key: Any, alg: str) -> None:
    signer.keys["two"] = key

    assert reader.principal_of(signer.token(kid="two", alg=alg)).name == "j.doe"


def test_a_token_of_a_plain_provider_says_jwt(signer: Signer, reader: TokenReader) -> None:
    assert reader.principal_of(signer.token(typ="JWT")).name == "j.doe"


NOW = int(time.time())


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 60},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": NOW + 3600},
        {"iat": NOW + 3600},
        {"aud": "another-api"},
        {"aud": ["another-api", "a-third"]},
        {"aud": None},
        {"iss": "https://another.example"},
        {"iss": None},
        {"sub": None},
        {"nonce": "n"},
        {"typ": "id+jwt"},
        {"typ": "logout+jwt"},
        {"key": OTHER_RSA},
    ],
    ids=str,
)
def test_what_does_not_hold_is_refused(signer: Signer, reader: TokenReader, changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated) as refusal:
        reader.principal_of(signer.token(**changes))

    assert refusal.value.headers["WWW-Authenticate"].endswith('error="invalid_token"')


def test_a_token_that_expired_within_the_leeway_is_taken(signer: Signer, reader: TokenReader) -> None:
    assert reader.principal_of(signer.token(exp=int(time.time()) - 2))


def test_a_token_signed_with_none_is_refused(signer: Signer, reader: TokenReader) -> None:
    _, payload, _ = signer.token().split(".")
    header = _encoded(b'{"alg":"none","typ":"at+jwt","kid":"one"}')

    for signature in ("", "AA"):
        with pytest.raises(NotAuthenticated):
            reader.principal_of(f"{header}.{payload}.{signature}")


def test_the_public_key_is_no_shared_secret(signer: Signer, reader: TokenReader) -> None:
    """The confusion of RFC 8725, 2.1, signed by hand: libraries refuse to help with it."""
    key = signer.keys["one"]
    assert isinstance(key, RSAKey)
    _, payload, _ = signer.token().split(".")
    header = _encoded(b'{"alg":"HS256","typ":"at+jwt","kid":"one"}')
    signed = f"{header}.{payload}"
    for secret in (key.as_pem(private=False), json.dumps(key.as_dict(private=False)).encode()):
        token = f"{signed}.{_encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"
        with pytest.raises(NotAuthenticated):
            reader.principal_of(token)


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_secret_that_the_provider_lists_is_no_key(signer: Signer, reader: TokenReader) -> None:
    signer.keys = {"one": OctKey.generate_key(256)}

    with pytest.raises(NotAuthenticated):
        reader.principal_of(signer.token(alg="HS256"))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é" * 10, ".." * 5, "a" * 20_000])
def test_rubbish_is_refused(reader: TokenReader, token: str) -> None:
    with pytest.raises(NotAuthenticated):
        reader.principal_of(token)


def test_keys_are_asked_for_once(signer: Signer, reader: TokenReader) -> None:
    for _ in range(5):
        reader.principal_of(signer.token())

    assert signer.asked_for_keys == 1


def test_a_new_key_is_found_when_a_token_names_it(signer: Signer, reader: TokenReader) -> None:
    reader.principal_of(signer.token())
    signer.keys = {"two": EC}

    assert reader.principal_of(signer.token(kid="two", alg="ES256"))
    assert signer.asked_for_keys == 2


def test_a_key_that_was_withdrawn_opens_nothing_after_a_rotation(signer: Signer, reader: TokenReader) -> None:
    old = signer.token()
    reader.principal_of(old)
    signer.keys = {"two": EC}
    reader.principal_of(signer.token(kid="two", alg="ES256"))

    with pytest.raises(NotAuthenticated):
        reader.principal_of(old)


def test_tokens_of_unknown_keys_do_not_make_us_ask_again_and_again(
    signer: Signer, reader: TokenReader, clock: Clock
) -> None:
    reader.principal_of(signer.token())
    for number in range(5):
        with pytest.raises(NotAuthenticated):
            reader.principal_of(signer.token(kid=f"unknown-{number}", key=OTHER_RSA))
    assert signer.asked_for_keys == 2
    clock.now += LOOK_AGAIN_S + 1
    with pytest.raises(NotAuthenticated):
        reader.principal_of(signer.token(kid="unknown", key=OTHER_RSA))

    assert signer.asked_for_keys == 3


def test_a_provider_that_is_down_lets_nobody_in(signer: Signer, reader: TokenReader) -> None:
    signer.down = True

    with pytest.raises(ProviderUnavailable) as refusal:
        reader.principal_of(signer.token())

    assert refusal.value.status == 503


def test_known_keys_go_on_for_an_hour_while_the_provider_is_down_and_no_longer(
    signer: Signer, reader: TokenReader, clock: Clock
) -> None:
    reader.principal_of(signer.token())
    signer.down = True
    clock.now += LAST_S - 1
    assert reader.principal_of(signer.token())
    clock.now += 2

    with pytest.raises(ProviderUnavailable):
        reader.principal_of(signer.token())


def test_a_provider_that_calls_itself_something_else_is_not_believed(signer: Signer, reader: TokenReader) -> None:
    signer.named_issuer = "https://another.example"

    with pytest.raises(ProviderUnavailable, match="calls itself"):
        reader.principal_of(signer.token())


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["it", "unknown"]}}),
        ("https://site.example/roles", {"https://site.example/roles": ["it"]}),
        ("scope", {"scope": "openid it"}),
    ],
)
def test_roles_are_found_where_the_site_says(
    signer: Signer, provider: Provider, claim: str, claims: dict[str, Any]
) -> None:
    reader = TokenReader(signer.settings(roles_claim=claim), provider)

    assert reader.principal_of(signer.token(**claims)).roles == {UserRole.ADMINISTRATOR}


@pytest.mark.parametrize("roles", [None, [], ["unknown"], "administrator", 7, {"it": True}, [["it"]]])
def test_a_role_that_is_not_in_the_table_is_none(signer: Signer, reader: TokenReader, roles: Any) -> None:
    assert reader.principal_of(signer.token(roles=roles)).roles == frozenset()


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://idp.example", True),
        ("http://localhost:8080", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://idp.example", False),
        ("ftp://127.0.0.1", False),
        ("", False),
    ],
)
def test_what_may_be_asked_without_tls_is_this_machine_alone(url: str, safe: bool) -> None:
    assert is_safe_url(url) is safe


def test_a_ca_that_cannot_be_read_is_told_at_the_start(signer: Signer, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="certificates cannot be read"):
        Provider(signer.settings(ca=tmp_path / "missing.pem"))
