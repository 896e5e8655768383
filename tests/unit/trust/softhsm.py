"""A token of SoftHSM in a folder of its own, with an Ed25519 key, an EC key and an RSA key, the last two with certificates."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pkcs11.util.ec import encode_named_curve_parameters
from pkcs11.util.x509 import decode_x509_certificate

PIN = "7193 secret"
TOKEN = "Signing office"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
)


@dataclass(frozen=True)
class SoftToken:
    """Where the token is, as its library and commands are told."""

    module: Path
    configuration: Path

    def uri(self, label: str, **more: str) -> str:
        """Of a key of the token."""
        said = {"token": TOKEN.replace(" ", "%20"), "object": label, **more}
        return "pkcs11:" + ";".join(f"{name}={value}" for name, value in said.items())


def module_or_skip() -> Path:
    """SoftHSM's library; where CI is set it has to be there."""
    found = next((Path(each) for each in MODULES if Path(each).is_file()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        assert not os.environ.get("CI"), "CI has to have SoftHSM: apt-get install softhsm2"
        pytest.skip("SoftHSM is not installed")
    return found


@contextmanager
def soft_token(folder: Path) -> Iterator[SoftToken]:
    """A new token, its library told of it; both are gone afterwards."""
    module = module_or_skip()
    tokens = folder / "tokens"
    tokens.mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    try:
        init = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "12345678"]
        subprocess.run(init, check=True, capture_output=True)
        yield SoftToken(module, configuration)
    finally:
        pkcs11.unload(str(module))
        os.environ.pop("SOFTHSM2_CONF")
        if before is not None:
            os.environ["SOFTHSM2_CONF"] = before


@contextmanager
def logged_in(token: SoftToken) -> Iterator[Any]:
    """A session that may write."""
    library = pkcs11.lib(str(token.module))
    with library.get_token(token_label=TOKEN).open(rw=True, user_pin=PIN) as session:
        yield session


def make_ed25519(token: SoftToken, label: str, key_id: bytes) -> None:
    """A key that never was outside the token."""
    with logged_in(token) as session:
        parameters = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("1.3.101.112")}
        domain = session.create_domain_parameters(pkcs11.KeyType.EC_EDWARDS, parameters, local=True)
        mechanism = pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN
        domain.generate_keypair(mechanism=mechanism, store=True, label=label, id=key_id)


def make_ec(token: SoftToken, label: str, key_id: bytes) -> None:
    """A P-256 key that never was outside the token."""
    with logged_in(token) as session:
        parameters = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        domain = session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True)
        domain.generate_keypair(store=True, label=label, id=key_id)


def make_rsa(token: SoftToken, label: str, key_id: bytes) -> None:
    """An RSA key that never was outside the token."""
    with logged_in(token) as session:
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label=label, id=key_id)


def put_certificate(token: SoftToken, certificate: x509.Certificate, key_id: bytes) -> None:
    """A certificate beside its key."""
    with logged_in(token) as session:
        attributes = decode_x509_certificate(certificate.public_bytes(Encoding.DER), extended_set=False)
        session.create_object({**attributes, pkcs11.Attribute.TOKEN: True, pkcs11.Attribute.ID: key_id})
