"""API keys: shown once, kept as hashes, gone when revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iodeep.errors import InputError, SettingsError
from iodeep.serve_settings import UserRole
from iodeep.service.access.api_keys import ApiKeys
from iodeep.service.access.refusals import NotAuthenticated

SERVICE = frozenset({UserRole.SERVICE})


@pytest.fixture
def keys(tmp_path: Path) -> ApiKeys:
    return ApiKeys(tmp_path / "api-keys.json")


def test_a_key_opens_for_its_holder(keys: ApiKeys) -> None:
    made, text = keys.add("ris", SERVICE, days=1)

    principal, identifier = keys.principal_of(text)

    assert (principal.name, principal.roles, principal.proof) == ("ris", SERVICE, "api-key")
    assert identifier == made.id
    assert keys.holds(identifier)


def test_the_file_does_not_hold_the_key_and_is_its_owners_alone(keys: ApiKeys, tmp_path: Path) -> None:
    _, text = keys.add("ris", SERVICE, days=1)
    path = tmp_path / "api-keys.json"

    assert text.split("_", 2)[2] not in path.read_text()
    assert text[-4:] in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_any_other_text_opens_nothing(keys: ApiKeys) -> None:
    _, text = keys.add("ris", SERVICE, days=1)
    _, other = keys.add("other", SERVICE, days=1)
    swapped = text[:20] + other[20:]
    last = "A" if text[-1] != "A" else "B"

    for wrong in (
        "",
        "iodeep_",
        text[:-1],
        text + "x",
        text[:-1] + last,
        text.upper(),
        swapped,
        f"iodeep_{'0' * 12}_{'a' * 43}",
    ):
        with pytest.raises(NotAuthenticated):
            keys.principal_of(wrong)


def test_a_key_is_over_when_its_time_is(keys: ApiKeys, tmp_path: Path) -> None:
    made, text = keys.add("ris", SERVICE, days=1)
    path = tmp_path / "api-keys.json"
    over = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert made.expires is not None
    path.write_text(path.read_text().replace(made.expires.isoformat().replace("+00:00", "Z"), over))

    with pytest.raises(NotAuthenticated):
        keys.principal_of(text)
    assert not keys.holds(made.id)


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_key_that_was_revoked_elsewhere_opens_nothing_at_once(keys: ApiKeys, tmp_path: Path, by: str) -> None:
    made, text = keys.add("ris", SERVICE, days=None)
    keys.principal_of(text)
    ApiKeys(tmp_path / "api-keys.json").revoke(getattr(made, by))

    with pytest.raises(NotAuthenticated):
        keys.principal_of(text)


def test_names_are_taken_once_and_are_names(keys: ApiKeys) -> None:
    keys.add("ris", SERVICE, days=1)

    for name in ("ris", "", "a\nb", "x" * 65):
        with pytest.raises(InputError):
            keys.add(name, SERVICE, days=1)


def test_a_key_that_is_not_there_cannot_be_revoked(keys: ApiKeys) -> None:
    with pytest.raises(InputError, match="no key 'x'"):
        keys.revoke("x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_use_is_not_believed(keys: ApiKeys, tmp_path: Path, mode: int) -> None:
    _, text = keys.add("ris", SERVICE, days=1)
    path = tmp_path / "api-keys.json"
    path.chmod(mode)
    fresh = ApiKeys(path)

    with pytest.raises(SettingsError, match="others"):
        fresh.principal_of(text)


def test_a_file_that_is_damaged_is_told_and_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "api-keys.json"
    path.write_text('{"keys": [{"id": ""}]}')
    path.chmod(0o600)

    with pytest.raises(SettingsError, match="damaged"):
        ApiKeys(path).principal_of(f"iodeep_{'0' * 12}_{'a' * 43}")
