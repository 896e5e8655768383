"""Sign-in at a provider that others wrote (oidc-provider-mock, Authlib): authorization code with PKCE, over HTTP on loopback."""

from __future__ import annotations

import warnings
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient

with warnings.catch_warnings(record=True):  # Authlib tells that its authlib.jose, which the provider uses, will go
    import oidc_provider_mock  # type: ignore[import-untyped]

from iodeep.service.access.signing_in import _FLOW_COOKIE
from tests.unit.service.access.site import Site, site_with

pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")  # of the provider's own Authlib
USER = oidc_provider_mock.User(sub="u-7", claims={"roles": ["radiologist"], "name": "Jane Doe"})


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with oidc_provider_mock.run_server_in_thread(user_claims=[USER], require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def site(tmp_path: Path, issuer: str) -> Iterator[Site]:
    secret = tmp_path / "secret"
    secret.write_text("anything\n")
    oidc = {
        "issuer": issuer,
        "audience": "iodeep-api",
        "client_id": "iodeep",
        "client_secret": secret,
        "roles": {"radiologist": "clinician"},
    }
    made = site_with(tmp_path, access={"oidc": oidc})
    yield made
    made.guard.close()


def _at_provider(url: str, subject: str = "u-7") -> str:
    """What a person does at the provider; the address that the browser is sent back to."""
    answer = httpx.post(url, data={"sub": subject})
    assert answer.status_code == 302
    return answer.headers["location"]


def _begun(client: TestClient, then: str = "/queue") -> str:
    answer = client.get("/auth/oidc/start", params={"then": then})
    assert answer.status_code == 303
    return str(answer.headers["location"])


def test_who_signs_in_at_the_provider_is_known_here(site: Site) -> None:
    client = site.client()
    back = _at_provider(_begun(client))

    answer = client.get(back)

    assert answer.status_code == 200
    assert 'url=/queue"' in answer.text
    assert client.get("/auth/me").json() == {
        "name": "Jane Doe",
        "roles": ["clinician"],
        "proof": "oidc",
        "csrf_header": "X-IODeep-Request",
    }
    assert [(event.user, event.event_type) for event in site.audit.events] == [("Jane Doe", "110122")]


def test_who_is_known_and_has_no_role_may_nothing(site: Site) -> None:
    client = site.client()
    client.get(_at_provider(_begun(client), subject="a-stranger"))

    assert client.get("/view").status_code == 403


def test_what_is_asked_for_is_protected_by_pkce_state_and_nonce(site: Site) -> None:
    asked = parse_qs(urlsplit(_begun(site.client())).query)

    assert asked["code_challenge_method"] == ["S256"]
    assert all(len(asked[name][0]) == 43 for name in ("state", "nonce", "code_challenge"))
    assert asked["redirect_uri"] == ["http://localhost:8080/auth/oidc/callback"]


def test_a_code_is_good_once(site: Site) -> None:
    client = site.client()
    back = _at_provider(_begun(client))
    client.get(back)

    assert site.client().get(back).status_code == 401


def test_a_code_is_good_in_the_browser_that_asked_alone(site: Site) -> None:
    """Sign-in forced on somebody else's browser: it has no cookie of this sign-in."""
    back = _at_provider(_begun(site.client()))
    other = site.client()
    _begun(other)

    assert other.get(back).status_code == 401
    assert other.get("/view").status_code == 401


def test_an_id_token_of_another_sign_in_is_refused(site: Site) -> None:
    """The code of one sign-in with the state of another: the nonce tells them apart."""
    first, second = site.client(), site.client()
    code = parse_qs(urlsplit(_at_provider(_begun(first))).query)["code"][0]
    state = parse_qs(urlsplit(_begun(second)).query)["state"][0]

    assert second.cookies[_FLOW_COOKIE] == state
    assert second.get("/auth/oidc/callback", params={"code": code, "state": state}).status_code == 401


@pytest.mark.parametrize(
    "query", [{}, {"state": "x"}, {"code": "x", "state": "x"}, {"error": "access_denied"}], ids=str
)
def test_a_callback_that_nobody_began_gets_nothing(site: Site, query: dict[str, str]) -> None:
    assert site.client().get("/auth/oidc/callback", params=query).status_code == 401


def test_a_person_who_declines_is_not_signed_in(site: Site) -> None:
    client = site.client()
    answer = httpx.post(_begun(client), data={"action": "deny"})

    assert client.get(answer.headers["location"]).status_code == 401


def test_the_challenge_is_the_hash_of_what_is_shown_later(site: Site) -> None:
    """RFC 7636, 4.2 and appendix B; the provider in these tests does not look at it."""
    challenge = parse_qs(urlsplit(_begun(client := site.client())).query)["code_challenge"][0]
    flow = site.guard.authenticator.flows.take(client.cookies[_FLOW_COOKIE])

    assert flow is not None
    assert challenge == urlsafe_b64encode(sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
