"""Neither the clock nor a list of what is revoked goes back unnoticed, and several lists count together."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iodeep.model_object import PackedModel
from iodeep.service.trust_memory import FILE, FileMemory
from iodeep.trust.memory import Seen
from iodeep.trust.policy import TrustPolicy, trust_policy
from iodeep.trust.revocations import RevocationList, write_revocations
from iodeep.trust.signatures import SigningKey
from iodeep.trust_settings import TrustSettings
from tests.unit.model_object.models import pack_ensemble
from tests.unit.trust.signing import DAY, NOW, judged, key_files, signed

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    return pack_ensemble(tmp_path_factory.mktemp("model"))


def remembering(folder: Path, public: Path, **rules: object) -> TrustPolicy:
    trusted = {"name": "the developer", "file": public, "roles": ["developer"]}
    settings = TrustSettings.model_validate({"keys": [trusted], "research": True, **rules})
    return trust_policy(settings, serving=True, memory=FileMemory(folder / "memory"))


def write_list(path: Path, key: SigningKey, issued_at: datetime, *revoked: str) -> None:
    made = RevocationList(issued_at=issued_at, valid_until=(NOW + 90 * DAY).date())
    for each in revoked:
        made = made.with_revoked(each, "because", issued_at, made.valid_until)
    write_revocations(path, made, key)


def test_a_clock_that_is_set_back_refuses_until_it_is_right_again(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    signature = signed(model, key, tmp_path)

    assert judged(remembering(tmp_path, public), model, signature, now=NOW + 2 * HOUR).accepted
    (refusal,) = judged(remembering(tmp_path, public), model, signature, now=NOW + HOUR).refusals
    again = judged(remembering(tmp_path, public), model, signature, now=NOW + 2 * HOUR - timedelta(minutes=2))

    assert "the clock of this machine was set back" in refusal
    assert str(tmp_path / "memory" / FILE) in refusal
    assert again.accepted


def test_a_signature_is_a_clock_too(model: PackedModel, tmp_path: Path) -> None:
    """Of whoever signed, less a day by which theirs may be ahead."""
    key, public = key_files(tmp_path)
    signature = signed(model, key, tmp_path)
    assert judged(remembering(tmp_path, public), model, signature, now=NOW - DAY / 2).accepted

    (refusal,) = judged(remembering(tmp_path, public), model, now=NOW - 3 * DAY).refusals

    assert "the clock of this machine was set back" in refusal


def test_an_old_list_that_is_put_back_is_noticed(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    office, office_public = key_files(tmp_path, "office")
    signature, path = signed(model, key, tmp_path), tmp_path / "revoked.json"
    write_list(path, office, NOW - 2 * DAY)
    old = path.read_bytes()
    write_list(path, office, NOW - DAY, key.type_and_id.split()[1])
    lists = {"revocation": {"file": path, "key": office_public}}

    assert "is revoked (because)" in judged(remembering(tmp_path, public, **lists), model, signature).distrusted
    path.write_bytes(old)
    (refusal,) = judged(remembering(tmp_path, public, **lists), model, signature).refusals

    assert "is older than one that was seen here" in refusal


def test_several_lists_count_together_and_each_has_to_be_good(model: PackedModel, tmp_path: Path) -> None:
    key, public = key_files(tmp_path)
    ours, our_public = key_files(tmp_path, "ours")
    theirs, their_public = key_files(tmp_path, "theirs")
    signature = signed(model, key, tmp_path)
    write_list(tmp_path / "ours.json", ours, NOW - DAY)
    write_list(tmp_path / "theirs.json", theirs, NOW - 2 * DAY)
    lists = {
        "revocation": [
            {"file": tmp_path / "ours.json", "key": our_public},
            {"file": tmp_path / "theirs.json", "key": their_public},
        ]
    }

    assert judged(remembering(tmp_path, public, **lists), model, signature).accepted
    write_list(tmp_path / "theirs.json", theirs, NOW - DAY, key.type_and_id.split()[1])
    assert "is revoked" in judged(remembering(tmp_path, public, **lists), model, signature).distrusted
    (tmp_path / "theirs.json").unlink()
    assert "cannot be relied on" in judged(remembering(tmp_path, public, **lists), model, signature).distrusted


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"moment": 3, "lists": {}}', '{"moment": "2026-01-01T00:00:00", "lists": {}}']
)
def test_a_memory_that_cannot_be_read_refuses(model: PackedModel, tmp_path: Path, content: str) -> None:
    _, public = key_files(tmp_path)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / FILE).write_text(content)

    (refusal,) = judged(remembering(tmp_path, public), model).refusals

    assert "cannot be read" in refusal


def test_a_memory_that_cannot_be_written_refuses(model: PackedModel, tmp_path: Path) -> None:
    _, public = key_files(tmp_path)
    (tmp_path / "memory").write_text("a file where the folder should be")

    (refusal,) = judged(remembering(tmp_path, public), model).refusals

    assert "cannot be" in refusal


def test_the_memory_is_for_its_owner_and_is_not_written_for_seconds(tmp_path: Path) -> None:
    memory = FileMemory(tmp_path)
    memory.keep(Seen(NOW))
    path = tmp_path / FILE
    before = path.stat().st_mtime_ns, path.read_bytes()
    memory.keep(Seen(NOW + timedelta(seconds=30)))

    assert path.stat().st_mode & 0o777 == 0o600
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert json.loads(before[1])["moment"] == NOW.isoformat()


MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda each: each.replace(tzinfo=NOW.tzinfo))


@given(st.lists(st.builds(Seen, st.none() | MOMENTS, st.dictionaries(st.sampled_from("abc"), MOMENTS)), max_size=6))
def test_what_is_remembered_is_the_latest_of_everything_in_whatever_order_it_came(seen: list[Seen]) -> None:
    together, backwards = Seen(), Seen()
    for each in seen:
        together = together.with_more(each)
    for each in reversed(seen):
        backwards = backwards.with_more(each)

    assert together == backwards
    assert all(together.with_more(each) == together for each in seen)
