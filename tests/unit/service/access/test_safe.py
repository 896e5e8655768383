"""Nothing is served to a network by accident: each open door is named before anything listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iodeep.errors import SettingsError
from iodeep.serve_settings import ServeRole, ServeSettings, UserRole
from iodeep.service.access import check_safe_to_serve
from iodeep.service.access.api_keys import ApiKeys

TLS = {"certificate": "server.pem", "key": "server.key"}
MUTUAL = {**TLS, "client_ca": "ca.pem"}
OIDC = {"issuer": "https://idp.example", "audience": "iodeep"}


def _check(folder: Path, role: ServeRole = ServeRole.ALL, **serve: Any) -> None:
    check_safe_to_serve(ServeSettings.model_validate(serve), folder / "api-keys.json", role)


def _with_key(folder: Path) -> Path:
    ApiKeys(folder / "api-keys.json").add("ris", frozenset({UserRole.SERVICE}), days=1)
    return folder


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "localhost"])
def test_defaults_on_this_machine_are_safe(tmp_path: Path, bind: str) -> None:
    _check(tmp_path, http={"bind": bind}, listener={"bind": bind})


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "10.0.0.5", "iodeep.hospital.example", ""])
def test_an_api_on_a_network_without_accounts_is_not_started(tmp_path: Path, bind: str) -> None:
    with pytest.raises(SettingsError, match="without knowing anybody"):
        _check(tmp_path, http={"bind": bind, "tls": TLS})


def test_an_api_on_a_network_with_a_key_and_tls_is_started(tmp_path: Path) -> None:
    _check(_with_key(tmp_path), http={"bind": "0.0.0.0", "tls": TLS})


def test_an_api_on_a_network_with_a_provider_and_tls_is_started(tmp_path: Path) -> None:
    _check(tmp_path, http={"bind": "0.0.0.0", "tls": TLS}, access={"oidc": OIDC})


def test_tokens_in_the_clear_are_not_sent_unless_the_site_says_so(tmp_path: Path) -> None:
    _with_key(tmp_path)
    with pytest.raises(SettingsError, match="in the clear"):
        _check(tmp_path, http={"bind": "0.0.0.0"})

    _check(tmp_path, http={"bind": "0.0.0.0", "plain_http": True})


def test_plain_http_is_no_leave_to_know_nobody(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="without knowing anybody"):
        _check(tmp_path, http={"bind": "0.0.0.0", "plain_http": True})


def test_a_listener_on_a_network_that_takes_from_anybody_is_not_started(tmp_path: Path) -> None:
    for listener in ({"bind": "0.0.0.0"}, {"bind": "0.0.0.0", "tls": TLS}):
        with pytest.raises(SettingsError, match="take images from anybody"):
            _check(tmp_path, listener=listener)


@pytest.mark.parametrize("known", [{"allowed_aets": ["CT1"]}, {"tls": MUTUAL}], ids=str)
def test_a_listener_that_knows_its_senders_is_started(tmp_path: Path, known: dict[str, Any]) -> None:
    _check(tmp_path, listener={"bind": "0.0.0.0", **known})


def test_only_what_a_role_starts_is_looked_at(tmp_path: Path) -> None:
    open_doors = {"listener": {"bind": "0.0.0.0"}, "http": {"bind": "0.0.0.0"}}

    _check(tmp_path, ServeRole.WORKER, **open_doors)
    with pytest.raises(SettingsError, match="listener"):
        _check(tmp_path, ServeRole.LISTENER, **open_doors)
    with pytest.raises(SettingsError, match="API"):
        _check(tmp_path, ServeRole.API, **open_doors)


def test_what_is_switched_off_is_not_looked_at(tmp_path: Path) -> None:
    _check(tmp_path, listener={"bind": "0.0.0.0", "enabled": False}, http={"bind": "0.0.0.0", "enabled": False})


def test_a_provider_whose_keys_come_without_tls_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="without TLS"):
        _check(tmp_path, access={"oidc": {**OIDC, "issuer": "http://idp.example"}})


def test_keys_that_others_may_write_stop_the_start(tmp_path: Path) -> None:
    _with_key(tmp_path)
    (tmp_path / "api-keys.json").chmod(0o666)

    with pytest.raises(SettingsError, match="others"):
        _check(tmp_path)
