"""Settings: what a site writes, what a URL says, and what a mistake is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from iodeep.errors import SettingsError
from iodeep.service.configuration import load_configuration
from iodeep.settings import Retrieve, Settings, pacs_of_url


def test_a_dicom_url_names_aet_host_port_and_options() -> None:
    pacs = pacs_of_url("dicom://ARCHIVE@pacs.local:11112?calling=READER&retrieve=move")

    assert (pacs.aet, pacs.host, pacs.port, pacs.calling_aet) == ("ARCHIVE", "pacs.local", 11112, "READER")
    assert pacs.retrieve is Retrieve.MOVE


def test_a_dicomweb_url_names_the_root() -> None:
    assert pacs_of_url("dicomweb+https://pacs.local/dicom-web").dicomweb == "https://pacs.local/dicom-web"


def test_a_password_in_a_url_is_in_no_name() -> None:
    pacs = pacs_of_url("dicomweb+https://user:secret@pacs.local/dicom-web")

    assert pacs.dicomweb == "https://user:secret@pacs.local/dicom-web"
    assert "secret" not in pacs.name + pacs.address


@pytest.mark.parametrize(
    "url",
    [
        "dicom://pacs.local:104",
        "dicom://A@pacs.local",
        "ftp://A@b:1",
        "dicom://A@b:99999",
        "dicom://A@b:1?typo=1",
    ],
)
def test_a_wrong_url_is_answered_with_the_right_forms(url: str) -> None:
    with pytest.raises(SettingsError, match="Write dicom://AET@host:port"):
        pacs_of_url(url)


def test_the_only_pacs_needs_no_name_and_an_unknown_one_lists_the_known(tmp_path: Path) -> None:
    config = tmp_path / "iodeep.toml"
    config.write_text('[pacs.main]\nhost = "127.0.0.1"\nport = 104\naet = "MAIN"\n')
    settings = load_configuration(config).settings

    assert settings.archive(None).aet == "MAIN"
    with pytest.raises(SettingsError, match="one of main, or a URL"):
        settings.archive("other")


def test_without_any_pacs_the_error_says_how_to_name_one() -> None:
    with pytest.raises(SettingsError, match="--pacs NAME"):
        Settings().archive(None)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[pacs.a]\nhost = "x"\n', "host, port and aet together"),
        ('[pacs.a]\nhost = "x"\nport = 0\naet = "A"\n', "pacs.a.port"),
        ('[pacs.a]\nhost = "x"\nport = 104\naet = "A_NAME_FAR_TOO_LONG"\n', "16 characters"),
        ('[pacs.a]\ndicomweb = "http://x"\nretreive = "get"\n', "retreive"),
        ("[run\n", "not TOML"),
        ("[run]\nmemory_mib = 1\n", "run.memory_mib"),
    ],
)
def test_a_wrong_file_is_answered_with_the_field(tmp_path: Path, text: str, named: str) -> None:
    config = tmp_path / "iodeep.toml"
    config.write_text(text)

    with pytest.raises(SettingsError) as raised:
        load_configuration(config)

    assert named in str(raised.value)


def test_a_named_file_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load_configuration(tmp_path / "none.toml")
