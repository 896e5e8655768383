"""The demo's archive, filled once: the sample models and the head series, in the embedded archive."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iodeep.inference import Engine
from iodeep.service.cli import main
from iodeep.service.demonstration import packed_models, sample_data
from iodeep.service.storing import dicom_files
from iodeep.settings import PacsSettings, RunSettings
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive

ROOT = Path(__file__).resolve().parents[2]
HEAD = ROOT / "sample_data" / "mr-head"
IMAGES = ROOT / "sample_data" / "images"


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


CommandLine = Callable[..., Ended]


@pytest.fixture
def iodeep(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    """The command line, with a cache of its own and no settings but those named."""
    monkeypatch.setenv("IODEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IODEEP_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["iodeep", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        printed = capfd.readouterr()
        return Ended(int(left.value.code or 0), printed.out, printed.err)

    return run


@dataclass(frozen=True)
class FilledArchive:
    """A running archive with the sample models and the head series."""

    settings: PacsSettings
    objects: dict[str, Path]
    """Model token -> the folder of its object."""

    @property
    def url(self) -> str:
        """For ``--pacs``."""
        return f"dicom://{self.settings.aet}@{self.settings.host}:{self.settings.port}"


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample models, packed once."""
    folder = tmp_path_factory.mktemp("objects")
    with Engine(RunSettings()) as engine:
        return {card.token: path for card, path in packed_models(sample_data(None), folder, engine)}


@pytest.fixture(scope="session")
def archive(objects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledArchive]:
    """The embedded archive, filled; tests add to it under UIDs of their own and take nothing away."""
    with embedded_archive(tmp_path_factory.mktemp("archive")) as settings:
        with open_archive(settings) as opened:
            opened.store(dicom_files([*objects.values(), HEAD]))
        yield FilledArchive(settings, objects)


@pytest.fixture
def fresh_archive(objects: dict[str, Path], tmp_path: Path) -> Iterator[FilledArchive]:
    """An archive for one test alone, with the brain model and the head series."""
    with embedded_archive(tmp_path / "fresh-archive") as settings:
        with open_archive(settings) as opened:
            opened.store(dicom_files([objects["BRAINMASK"], HEAD]))
        yield FilledArchive(settings, objects)
