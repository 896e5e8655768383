"""Keys in a token sign as others do, never leave it, and nobody hears of their PIN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from iodeep.errors import InputError, IODeepError, SettingsError
from iodeep.model_object import PackedModel
from iodeep.service.signing_keys import signing_key
from iodeep.trust.revocations import RevocationList, Revocations, write_revocations
from iodeep.trust.signatures import make_key
from iodeep.trust.signatures.keys import public_pem
from iodeep.trust.signatures.pkcs11_uri import KeyUri, key_uri
from iodeep.trust.signatures.tokens import token_key
from tests.unit.model_object.models import pack_ensemble
from tests.unit.trust.signing import (
    DAY,
    NOW,
    certificate_authority,
    certified,
    judged,
    policy,
    signed,
    write_certificate,
)
from tests.unit.trust.softhsm import (
    PIN,
    TOKEN,
    SoftToken,
    make_ec,
    make_ed25519,
    make_rsa,
    put_certificate,
    soft_token,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return pack_ensemble(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    with soft_token(tmp_path_factory.mktemp("hsm")) as made:
        make_ed25519(made, "developer", b"\x01")
        make_ec(made, "ec", b"\x02")
        make_rsa(made, "rsa", b"\x03")
        yield made


@pytest.fixture(autouse=True)
def pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IODEEP_PKCS11_PIN", PIN)


def test_an_ed25519_key_in_a_token_signs_models_and_lists(model: PackedModel, token: SoftToken, tmp_path: Path) -> None:
    key = signing_key(token.uri("developer"), module=token.module)
    public = tmp_path / "token.pub.pem"
    public.write_bytes(public_pem(key.private.public_key()))
    revoked = tmp_path / "revoked.json"

    write_revocations(revoked, RevocationList(issued_at=NOW, valid_until=(NOW + DAY).date()), key)
    verdict = judged(policy(public, revocation={"file": revoked, "key": public}), model, signed(model, key, tmp_path))

    assert verdict.accepted
    assert verdict.good[0].key in key.type_and_id
    assert Revocations(revoked, key.private.public_key()).read().issued_at == NOW  # type: ignore[arg-type]  # Ed25519's


@pytest.mark.parametrize("label", ["ec", "rsa"])
def test_a_key_with_a_certificate_signs_by_cms_whether_the_token_holds_it_or_a_file(
    model: PackedModel, token: SoftToken, tmp_path: Path, label: str
) -> None:
    with pytest.raises(InputError, match="is not an Ed25519 key"):
        signing_key(token.uri(label), module=token.module)
    ca = certificate_authority()
    trust = policy(write_certificate(tmp_path / "ca.pem", ca))
    bare, _ = token_key(key_uri(token.uri(label)), token.module, PIN)
    certificate = certified(ca, bare.public_key())
    file = tmp_path / "signer.pem"
    file.write_bytes(certificate.public_bytes(Encoding.PEM))

    with_file = signing_key(token.uri(label), file, module=token.module)
    assert judged(trust, model, signed(model, with_file, tmp_path)).accepted
    put_certificate(token, certificate, {"ec": b"\x02", "rsa": b"\x03"}[label])
    by_itself = signing_key(f"{token.uri(label)}?module-path={token.module}")
    assert judged(trust, model, signed(model, by_itself, tmp_path)).accepted


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"object": "nobody"}, "holds no private keys"),
        ({"token": "another"}, "no such token is there"),
        ({"manufacturer": "Somebody"}, "no such token is there"),
        ({"serial": "0000"}, "no such token is there"),
    ],
)
def test_what_the_token_does_not_have_is_told(token: SoftToken, change: dict[str, str], words: str) -> None:
    uri = token.uri(**{"label": "developer", **change} if "object" not in change else {"label": change["object"]})
    if "token" in change:
        uri = uri.replace(TOKEN.replace(" ", "%20"), change["token"])

    with pytest.raises(InputError, match=words):
        signing_key(uri, module=token.module)


def test_the_pin_is_in_no_message_and_no_repr(token: SoftToken, monkeypatch: pytest.MonkeyPatch) -> None:
    key = signing_key(token.uri("developer"), module=token.module)
    assert PIN not in f"{key!r} {vars(key.private)!r}"
    monkeypatch.setenv("IODEEP_PKCS11_PIN", "4711 wrong")

    with pytest.raises(InputError, match="the PIN is wrong") as caught:
        signing_key(token.uri("developer"), module=token.module)

    assert "4711" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_in_a_token_does_not_leave_it(token: SoftToken) -> None:
    key = signing_key(token.uri("developer"), module=token.module)
    with pytest.raises(InputError, match="nothing but sign"):
        key.private.private_bytes()  # type: ignore[call-arg]  # whatever it is asked


def test_a_pin_that_no_variable_holds_is_asked_for(token: SoftToken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IODEEP_PKCS11_PIN")
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PIN

    signing_key(token.uri("developer"), module=token.module, ask=ask)
    with pytest.raises(InputError, match="nobody can be asked"):
        signing_key(token.uri("developer"), module=token.module)

    assert asked == [f"PIN of {TOKEN}"]


def test_a_library_that_is_not_there_is_a_setting_to_correct(token: SoftToken) -> None:
    with pytest.raises(SettingsError, match="none was named"):
        signing_key(token.uri("developer"))
    with pytest.raises(SettingsError, match="is not there"):
        signing_key(token.uri("developer"), module=Path("/nowhere/lib.so"))


def test_a_key_may_come_from_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = make_key("a passphrase")
    monkeypatch.setenv("OUR_KEY", private.decode())
    monkeypatch.setenv("IODEEP_KEY_PASSPHRASE", "a passphrase")

    assert public_pem(signing_key("env:OUR_KEY").private.public_key()) == public
    monkeypatch.setenv("OUR_KEY", "-----BEGIN PRIVATE KEY-----\nnonsense secret\n")
    with pytest.raises(InputError, match="no private key can be read from env:OUR_KEY") as caught:
        signing_key("env:OUR_KEY")
    assert "nonsense" not in str(caught.value)
    with pytest.raises(SettingsError, match="NOT_SET"):
        signing_key("env:NOT_SET")


def test_a_uri_is_taken_apart() -> None:
    text = "pkcs11:token=My%20token;object=key%3B1;id=%01%ff;type=private?module-path=/usr/lib/x.so"
    assert key_uri(text) == KeyUri("My token", object="key;1", id=b"\x01\xff", module_path=Path("/usr/lib/x.so"))


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11:",
        "pkcs11:token=a",
        "pkcs11:token=a;object=b;object=c",
        "pkcs11:object=b;type=cert",
        "pkcs11:object=b;x-unknown=1",
        "pkcs11:object=b?pin-value=secret",
        "pkcs11:object=b?pin-source=/etc/secret",
        "pkcs11:object=b&pin-value=secret",
        "pkcs11:object=b;PIN-value=secret",
        "pkcs11:object=%ff",
    ],
)
def test_a_uri_that_says_too_little_or_too_much_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError, match="PKCS #11 URI") as caught:
        key_uri(text)
    assert "secret" not in str(caught.value)


@given(st.text())
def test_no_text_makes_anything_but_a_uri_or_one_of_our_errors(text: str) -> None:
    try:
        assert isinstance(key_uri(f"pkcs11:{text}"), KeyUri)
    except IODeepError:
        return
