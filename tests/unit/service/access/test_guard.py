"""An application that is guarded: who gets what over HTTP, and what every answer says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from iodeep.serve_settings import UserRole
from iodeep.service.access.callers import CSRF_HEADER
from iodeep.service.access.limits import FAILURES_PER_MINUTE
from iodeep.service.audit import EventKind
from tests.unit.service.access.provider import AUDIENCE, ROLES, Signer, running
from tests.unit.service.access.site import AT_HOME, HERE, THERE, Site, site_with


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = site_with(tmp_path)
    yield made
    made.guard.close()


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    with running() as made:
        yield made


@pytest.fixture
def with_provider(tmp_path: Path, signer: Signer) -> Iterator[Site]:
    made = site_with(tmp_path, access={"oidc": {"issuer": signer.issuer, "audience": AUDIENCE, "roles": ROLES}})
    yield made
    made.guard.close()


def test_a_caller_without_credentials_gets_nothing_and_is_told_how_to_come_in(site: Site) -> None:
    answer = site.client(HERE).get("/view")

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="iodeep"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["remedy"].startswith("Send Authorization: Bearer")


def test_a_key_opens_what_its_role_may_and_nothing_else(site: Site) -> None:
    client, key = site.client(), site.key(UserRole.VIEWER)

    assert client.get("/view", headers=key).json() == {"name": "viewer 0", "proof": "api-key"}
    assert client.post("/change", headers=key).status_code == 403
    assert client.get("/administer", headers=key).status_code == 403


def test_a_system_may_ask_for_work_and_not_administer(site: Site) -> None:
    client, key = site.client(), site.key(UserRole.SERVICE)

    assert client.post("/change", headers=key).status_code == 200
    assert client.get("/administer", headers=key).status_code == 403


def test_a_refused_role_is_a_security_alert_that_names_who_and_what(site: Site) -> None:
    site.client().get("/administer", headers=site.key(UserRole.VIEWER))

    (alert,) = site.audit.events
    assert (alert.kind, alert.user, alert.address) == (EventKind.SECURITY_ALERT, "viewer 0", THERE[0])
    assert "/administer" in alert.detail


@pytest.mark.parametrize("bearer", ["iodeep_000000000000_" + "a" * 43, "x.y.z", "rubbish"])
def test_a_credential_that_does_not_hold_gets_nothing_and_is_recorded(site: Site, bearer: str) -> None:
    answer = site.client().get("/view", headers={"Authorization": f"Bearer {bearer}"})

    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert [event.kind for event in site.audit.events] == [EventKind.USER_AUTHENTICATION]
    assert bearer not in answer.text + str(site.audit.events)


def test_after_many_wrong_credentials_an_address_is_not_listened_to(site: Site) -> None:
    client, right = site.client(), site.key()
    for _ in range(FAILURES_PER_MINUTE):
        client.get("/view", headers={"Authorization": "Bearer wrong"})

    answer = client.get("/view", headers=right)

    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert site.client(("10.0.0.10", 1)).get("/view", headers=right).status_code == 200
    assert len(site.audit.events) == FAILURES_PER_MINUTE


def test_an_access_token_opens_what_its_roles_may(with_provider: Site, signer: Signer) -> None:
    client, token = with_provider.client(), {"Authorization": f"Bearer {signer.token()}"}

    assert client.post("/change", headers=token).json() == {"name": "j.doe"}
    assert client.get("/administer", headers=token).status_code == 403


@pytest.mark.parametrize("claims", [{"exp": 1}, {"aud": "x"}, {"iss": "x"}], ids=str)
def test_a_token_that_does_not_hold_gets_nothing(with_provider: Site, signer: Signer, claims: dict[str, Any]) -> None:
    token = {"Authorization": f"Bearer {signer.token(**claims)}"}

    assert with_provider.client().get("/view", headers=token).status_code == 401


def test_a_token_without_a_role_may_nothing(with_provider: Site, signer: Signer) -> None:
    token = {"Authorization": f"Bearer {signer.token(roles=[])}"}

    assert with_provider.client().get("/view", headers=token).status_code == 403


def test_while_the_provider_is_down_tokens_are_answered_with_503_and_keys_go_on(tmp_path: Path, signer: Signer) -> None:
    site = site_with(tmp_path, access={"oidc": {"issuer": f"{signer.issuer}/nowhere", "audience": AUDIENCE}})
    client = site.client()

    answer = client.get("/view", headers={"Authorization": f"Bearer {signer.token()}"})

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert client.get("/view", headers=site.key()).status_code == 200
    site.guard.close()


class TestAnonymousCallers:
    """Where the site lets its own machine in without credentials."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        made = site_with(tmp_path, access={"anonymous": "clinician"})
        yield made
        made.guard.close()

    def test_they_come_in_from_this_machine(self, site: Site) -> None:
        assert site.client(HERE).get("/view").json() == {"name": "anonymous", "proof": "anonymous"}
        assert site.client(HERE).post("/change").status_code == 200
        assert site.client(HERE).get("/administer").status_code == 403

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
    def test_they_do_not_come_in_through_a_proxy_on_this_machine(self, site: Site, header: str) -> None:
        assert site.client(HERE).get("/view", headers={header: "127.0.0.1"}).status_code == 401

    def test_they_do_not_come_in_from_elsewhere(self, site: Site) -> None:
        assert site.client(THERE).get("/view").status_code == 401

    @pytest.mark.parametrize(
        "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}], ids=str
    )
    def test_a_page_of_another_site_changes_nothing_through_their_browser(
        self, site: Site, headers: dict[str, str]
    ) -> None:
        assert site.client(HERE).post("/change", headers=headers).status_code == 403

    def test_a_wrong_key_is_refused_rather_than_taken_for_nobody(self, site: Site) -> None:
        assert site.client(HERE).get("/view", headers={"Authorization": "Bearer x"}).status_code == 401


class TestSessions:
    """Sign-in with a key at the pages."""

    def test_a_session_opens_what_the_key_does(self, site: Site) -> None:
        client = site.client()
        answer = client.post("/auth/sign-in", data={"key": site.text(), "then": "/jobs?x=1"})

        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?x=1")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert client.get("/view").json()["name"] == "clinician 0"
        assert client.get("/auth/me").json()["csrf_header"] == CSRF_HEADER

    def test_a_change_needs_the_header_that_another_site_cannot_set(self, site: Site) -> None:
        client = self._signed_in(site)

        assert client.post("/change").status_code == 403
        assert client.post("/change", headers={CSRF_HEADER: "1"}).status_code == 200
        foreign = {CSRF_HEADER: "1", "Origin": "https://evil.example"}
        assert client.post("/change", headers=foreign).status_code == 403
        ours = {CSRF_HEADER: "1", "Origin": AT_HOME}
        assert client.post("/change", headers=ours).status_code == 200

    def test_a_wrong_key_begins_no_session(self, site: Site) -> None:
        client = site.client()

        assert client.post("/auth/sign-in", data={"key": "wrong"}).status_code == 401
        assert client.get("/view").status_code == 401

    def test_another_site_cannot_sign_somebody_in(self, site: Site) -> None:
        answer = site.client().post(
            "/auth/sign-in", data={"key": site.text()}, headers={"Origin": "https://evil.example"}
        )

        assert answer.status_code == 403

    @pytest.mark.parametrize("then", ["https://evil.example", "//evil.example", "/\\evil", "javascript:x", "/a\nb"])
    def test_nobody_is_sent_to_another_site(self, site: Site, then: str) -> None:
        answer = site.client().post("/auth/sign-in", data={"key": site.text(), "then": then})

        assert answer.headers["location"] == "/"

    def test_after_sign_out_the_cookie_opens_nothing(self, site: Site) -> None:
        client = self._signed_in(site)
        cookies = dict(client.cookies)
        assert client.post("/auth/sign-out").status_code == 204

        client.cookies.update(cookies)

        assert client.get("/view").status_code == 401
        assert [event.event_type for event in site.audit.events] == ["110122", "110123"]

    def test_a_session_ends_with_its_key(self, site: Site) -> None:
        client = self._signed_in(site)
        site.keys.revoke("clinician 0")

        assert client.get("/view").status_code == 401

    def test_under_tls_the_cookie_is_for_tls_and_this_host_alone(self, tmp_path: Path) -> None:
        site = site_with(tmp_path, http={"public_url": "https://ai.hospital.example"})
        client = site.client(base="https://ai.hospital.example")
        answer = client.post("/auth/sign-in", data={"key": site.text()})

        assert answer.headers["set-cookie"].startswith("__Host-iodeep=")
        assert "Secure" in answer.headers["set-cookie"]
        assert client.get("/view").status_code == 200

    def test_the_page_shows_what_is_typed_into_an_address_as_text(self, site: Site) -> None:
        page = site.client().get("/auth/sign-in", params={"then": '/"><script>alert(1)</script>'}).text

        assert "<script>" not in page

    def _signed_in(self, site: Site) -> TestClient:
        client = site.client()
        client.post("/auth/sign-in", data={"key": site.text()})
        return client


class TestDoorway:
    """What every request passes and every answer says."""

    def test_every_answer_forbids_what_the_pages_do_not_need(self, site: Site) -> None:
        for path in ("/open", "/view", "/nowhere"):
            headers = site.client().get(path).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in headers

    def test_under_tls_browsers_are_told_to_stay_there(self, tmp_path: Path) -> None:
        site = site_with(tmp_path, http={"public_url": "https://ai.hospital.example"})

        assert "max-age" in site.client().get("/open").headers["strict-transport-security"]

    @pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[", "127.0.0.1.evil.example"])
    def test_a_name_that_is_not_ours_is_refused(self, site: Site, host: str) -> None:
        assert site.client().get("/open", headers={"Host": host}).status_code == 421

    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST:99", "127.0.0.1:8080", "[::1]:8080", "10.1.2.3", "ai.example"]
    )
    def test_our_names_and_addresses_are_taken(self, tmp_path: Path, host: str) -> None:
        site = site_with(tmp_path, http={"allowed_hosts": ["ai.example"]})

        assert site.client().get("/open", headers={"Host": host}).status_code == 200

    def test_a_body_that_is_too_large_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        client = site_with(tmp_path, http={"max_body_bytes": 2000}).client()

        assert client.post("/body", content=bytes(2000)).json() == {"bytes": 2000}
        assert client.post("/body", content=bytes(2001)).status_code == 413

    def test_a_body_of_unknown_length_is_refused_when_it_gets_too_large(self, tmp_path: Path) -> None:
        client = site_with(tmp_path, http={"max_body_bytes": 2000}).client()

        answer = client.post("/body", content=iter([bytes(1500), bytes(1500)]))

        assert answer.status_code == 413
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_a_caller_may_ask_so_often_and_no_more(self, tmp_path: Path) -> None:
        site = site_with(tmp_path, http={"requests_per_minute": 3})
        client, one, other = site.client(), site.key(), site.key()
        answers = [client.get("/view", headers=one).status_code for _ in range(4)]

        assert answers == [200, 200, 200, 429]
        assert client.get("/view", headers=other).status_code == 200

    def test_an_address_may_ask_so_often_and_no_more(self, tmp_path: Path) -> None:
        site = site_with(tmp_path, http={"requests_per_minute_and_address": 3})
        answers = [site.client().get("/open").status_code for _ in range(4)]

        assert answers == [200, 200, 200, 429]
        assert site.client(("10.0.0.10", 1)).get("/open").status_code == 200

    def test_what_a_viewer_retrieves_counts_a_tenth(self, tmp_path: Path) -> None:
        client = site_with(tmp_path, http={"requests_per_minute_and_address": 1}).client()
        answers = [client.get("/dicom-web/studies/1/series/2/instances/3/frames/1").status_code for _ in range(11)]

        assert answers == [*[404] * 10, 429]

    def test_a_proxy_that_is_ours_is_believed_about_its_callers(self, tmp_path: Path) -> None:
        site = site_with(tmp_path, http={"requests_per_minute_and_address": 1, "proxy_addresses": ["10.0.0.0/24"]})

        def ask(forwarded: str) -> int:
            answer = site.client(THERE).get("/open", headers={"X-Forwarded-For": forwarded})
            return int(answer.status_code)

        assert ask("192.0.2.1") == 200
        assert ask("192.0.2.2") == 200
        assert ask("203.0.113.7, 192.0.2.1") == 429, "what a caller writes itself is not believed"

    def test_a_proxy_that_is_not_ours_is_not_believed(self, tmp_path: Path) -> None:
        site = site_with(tmp_path, http={"requests_per_minute_and_address": 1})

        def ask(forwarded: str) -> int:
            answer = site.client(THERE).get("/open", headers={"X-Forwarded-For": forwarded})
            return int(answer.status_code)

        assert [ask("192.0.2.1"), ask("192.0.2.2")] == [200, 429]
