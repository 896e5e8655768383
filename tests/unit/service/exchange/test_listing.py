"""Hostile media are refused by name before anything is written."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from iodeep.errors import IODeepError, LocalStorageError, ObjectError
from iodeep.service.exchange import listing
from iodeep.service.exchange.listing import list_folder
from iodeep.service.exchange.unpacking import open_media


def _zip(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def _of_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def _refused(media: Path, workspace: Path, said: str) -> None:
    workspace.mkdir()
    with pytest.raises(ObjectError, match=said):
        open_media(media, workspace)
    assert list(workspace.iterdir()) == []


NAMES = {
    "upwards": "../evil",
    "upwards inside": "a/../../evil",
    "absolute": "/etc/cron.d/evil",
    "drive": "C:/evil",
    "empty component": "a//b",
    "dot": "./a",
    "hidden": ".profile",
    "option": "-rf",
    "space at the end": "a ",
    "dot at the end": "a.",
    "device": "AUX.dcm",
    "stream": "a:b",
    "homoglyph": "DІCOMDIR",
    "right to left": "a\u202egnp.exe",
    "newline": "a\nb",
    "long": "a" * 200,
    "deep": "/".join("abcdefghi"),
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    _refused(_zip(tmp_path / "m.zip", (name, b"x")), tmp_path / "w", "refused: (its name|it lies)")


def test_a_folder_entry_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    _refused(_zip(tmp_path / "m.zip", ("../evil/", b"")), tmp_path / "w", "its name leads elsewhere")


def test_a_backslash_is_no_separator(tmp_path: Path) -> None:
    _refused(_zip(tmp_path / "m.zip", ("..\\evil", b"x")), tmp_path / "w", "its name")


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "m.zip", ("aXb", b"x"))
    path.write_bytes(path.read_bytes().replace(b"aXb", b"a\0b"))

    _refused(path, tmp_path / "w", "characters that a name does not have|its name")


@pytest.mark.parametrize(("mode", "kind"), [(0o120777, "symbolic link"), (0o020666, "neither"), (0o010666, "neither")])
def test_an_entry_that_is_no_file_is_refused(mode: int, kind: str, tmp_path: Path) -> None:
    _refused(_zip(tmp_path / "m.zip", (_of_mode("link", mode), b"/etc/passwd")), tmp_path / "w", kind)


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    _refused(_zip(tmp_path / "m.zip", ("PT/A", b"1"), ("pt/a", b"2")), tmp_path / "w", "take the two for one")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # zipfile says so of what this test makes
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    _refused(_zip(tmp_path / "m.zip", ("A", b"1"), ("A", b"2")), tmp_path / "w", "take the two for one")


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path) -> None:
    _refused(_zip(tmp_path / "m.zip", ("a", b"1"), ("A/b", b"2")), tmp_path / "w", "a file and a folder at once")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "m.zip", ("bomb", bytes(30 << 20)), method=zipfile.ZIP_DEFLATED)

    _refused(path, tmp_path / "w", "decompression bomb")


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "m.zip", ("a", b"1234"), ("b", b"1234"))
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = struct.pack("<I", 0)
    path.write_bytes(content)

    _refused(path, tmp_path / "w", "shares its bytes")


def test_another_method_of_packing_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "m.zip", ("a", b"x" * 100), method=zipfile.ZIP_BZIP2)

    _refused(path, tmp_path / "w", "other than Deflate")


def test_an_entry_with_a_password_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "m.zip", ("a", b"x"))
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)

    _refused(path, tmp_path / "w", "password")


def test_more_files_than_a_model_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_ENTRIES", 3)

    _refused(_zip(tmp_path / "m.zip", *((f"f{n}", b"") for n in range(4))), tmp_path / "w", "too many files")


def test_a_listing_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_LISTING_BYTES", 70_000)

    _refused(_zip(tmp_path / "m.zip", *((f"{n:0100}", b"") for n in range(1000))), tmp_path / "w", "lists too many")


def test_more_bytes_than_a_model_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_UNPACKED_BYTES", 10)

    _refused(_zip(tmp_path / "m.zip", ("a", b"x" * 11)), tmp_path / "w", "too large")


def test_what_is_no_zip_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(b"PK\x03\x04 and no more")

    _refused(tmp_path / "m.zip", tmp_path / "w", "not a ZIP file")


def test_what_finds_no_room_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage)

    with pytest.raises(LocalStorageError, match="no room"):
        open_media(_zip(tmp_path / "m.zip", ("a", b"x" * 11)), tmp_path)


class _Usage:
    free = 10


def _flip_content(content: bytearray) -> None:
    content[content.index(b"xxxx")] ^= 1


def _longer(content: bytearray) -> None:
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 2000)


@pytest.mark.parametrize("change", [_flip_content, _longer])
def test_an_entry_that_was_altered_is_refused_and_nothing_of_the_media_stays(
    change: Callable[[bytearray], None], tmp_path: Path
) -> None:
    path = _zip(tmp_path / "m.zip", ("good", b"good"), ("part", b"x" * 1000))
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    workspace = tmp_path / "w"
    workspace.mkdir()

    with pytest.raises(IODeepError, match=r"part in the ZIP file is damaged|shares its bytes"):
        open_media(path, workspace)
    assert list(workspace.iterdir()) == []


def test_plain_media_are_unpacked(tmp_path: Path) -> None:
    path = _zip(tmp_path / "m.zip", ("PT000000/RW000000", b"x" * 3000), ("INDEX.HTM", b""), method=zipfile.ZIP_DEFLATED)

    folder, entries = open_media(path, tmp_path)

    assert (folder / "PT000000" / "RW000000").read_bytes() == b"x" * 3000
    assert [entry.name for entry in entries] == ["PT000000/RW000000", "INDEX.HTM"]


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m" / "sub").mkdir(parents=True)
    (tmp_path / "m" / "sub" / "link").symlink_to("/etc/passwd")

    with pytest.raises(ObjectError, match=r"sub/link.*symbolic link"):
        list_folder(tmp_path / "m")


def test_a_linked_folder_is_refused_and_not_entered(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "loop").symlink_to(tmp_path / "m", target_is_directory=True)

    with pytest.raises(ObjectError, match=r"loop.*symbolic link"):
        list_folder(tmp_path / "m")


def test_a_pipe_in_a_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ObjectError, match="neither a file nor a folder"):
        list_folder(tmp_path)


def test_names_in_a_folder_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "A").touch()
    (tmp_path / "a").touch()

    with pytest.raises(ObjectError, match="take the two for one"):
        list_folder(tmp_path)


def test_a_folder_with_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_ENTRIES", 3)
    for number in range(4):
        (tmp_path / f"f{number}").touch()

    with pytest.raises(ObjectError, match="too many files"):
        list_folder(tmp_path)


def test_an_entry_that_lies_before_the_file_is_refused(tmp_path: Path) -> None:
    media = _zip(tmp_path / "media.zip", ("a", b"x" * 400))
    content = bytearray(media.read_bytes())
    (start,) = struct.unpack_from("<L", content, len(content) - 6)
    struct.pack_into(
        "<L", content, len(content) - 6, start + 200
    )  # all entries then lie 200 bytes further to the front
    media.write_bytes(content)
    with pytest.raises(IODeepError, match=r"damaged|cannot be read|shares its bytes"):
        open_media(media, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["media.zip"]


def test_an_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    _refused(_zip(tmp_path / "media.zip", (zipfile.ZipInfo(""), b"x")), tmp_path / "work", "leads elsewhere")
