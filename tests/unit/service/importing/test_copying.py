"""A source is copied and unpacked within bounds; what would reach beyond its folder is refused by name."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from iodeep.errors import InputError
from iodeep.service.importing import copying, unpacked
from iodeep.service.importing.copying import copied
from iodeep.service.importing.unpacked import unpacked as unpack


def written(path: Path, *names: str, mode: int = stat.S_IFREG | 0o644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, b"0" * 5000)
    return path


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/outside", "a\\..\\outside"])
def test_a_zip_that_would_write_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "bundle.zip", "configs/metadata.json", name)
    with pytest.raises(InputError, match="outside"):
        unpack(path, tmp_path / "into")
    assert not list(tmp_path.glob("**/outside"))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="secret"):
        unpack(written(tmp_path / "bundle.zip", "secret", mode=stat.S_IFLNK | 0o777), tmp_path / "into")


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "bundle.zip", "a", "b")
    assert {each.name for each in unpack(path, tmp_path / "into").iterdir()} == {"a", "b"}
    monkeypatch.setattr(unpacked, "MOST_BYTES", 9999)
    with pytest.raises(InputError, match="too large"):
        unpack(path, tmp_path / "other")
    monkeypatch.setattr(unpacked, "MOST_ENTRIES", 1)
    with pytest.raises(InputError, match="too many files"):
        unpack(path, tmp_path / "third")


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = written(tmp_path / "bundle.zip", "a", "a")
    with pytest.raises(InputError, match="twice"):
        unpack(path, tmp_path / "into")


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="no zip"):
        unpack(tmp_path / "bundle.zip", tmp_path / "into")


def test_what_is_no_zip_is_left_as_it_is(tmp_path: Path) -> None:
    written(tmp_path / "model.pt", "a")
    assert unpack(tmp_path / "model.pt", tmp_path / "into") == tmp_path / "model.pt"
    assert unpack(tmp_path, tmp_path / "into") == tmp_path


def source(folder: Path) -> Path:
    (folder / "source" / "models").mkdir(parents=True)
    (folder / "source" / "models" / "model.pt").write_text("weights")
    (folder / "into").mkdir()
    return folder / "source"


def test_a_folder_is_copied_byte_by_byte(tmp_path: Path) -> None:
    assert copied(source(tmp_path), tmp_path / "into") == "source"
    assert (tmp_path / "into" / "source" / "models" / "model.pt").read_text() == "weights"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    given = source(tmp_path)
    if kind == "link":
        (given / "models" / "secret").symlink_to("/etc/hostname")
    else:
        os.mkfifo(given / "models" / "secret")
    with pytest.raises(InputError, match="models/secret"):
        copied(given, tmp_path / "into")


def test_a_source_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "MOST_BYTES", 3)
    with pytest.raises(InputError, match="too large"):
        copied(source(tmp_path), tmp_path / "into")
