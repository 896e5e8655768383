"""How the command line ends: a wrong path is told in a line, a signal leaves nothing behind, one study at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from iodeep.errors import ExitCode, InputError, plain
from iodeep.service import cli
from iodeep.service.stages import not_retold
from iodeep.service.subjects import subject_of
from tests.synthetic import write_series
from tests.unit.results.support import SPLEEN, make_card

NOBODY = "dicom://NOBODY@127.0.0.1:1"
VOXELS = np.ones((3, 4, 4), np.int16)


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["iodeep", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


@pytest.mark.parametrize("command", [("show",), ("run", "--pacs", NOBODY)])
def test_a_name_that_is_too_long_for_a_path_is_told_in_a_line(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, *command, "x" * 300) == ExitCode.LOCAL_STORAGE
    assert "File name too long" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_and_leaves_no_folder(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        assert list(tmp_path.iterdir())
        os.kill(os.getpid(), number)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("iodeep.service.cli.series.subject_of", interrupted)
    ours = signal.signal(number, signal.SIG_DFL)  # under nohup hang-ups are ignored, and would be here
    before = signal.getsignal(number)
    try:
        assert ended(monkeypatch, "select", "1.2.3", "--pacs", NOBODY) == ExitCode.CANCELLED
        assert "interrupted" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []
        assert signal.getsignal(number) is before
    finally:
        signal.signal(number, ours)


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_json_is_valid_for_a_path_that_is_no_text(encoding: str, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path / "Röntgen ") + b"\xff")
    ended = subprocess.run(
        [sys.executable, "-m", "iodeep", "run", path, "--pacs", NOBODY, "--json"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding, "IODEEP_CACHE": str(tmp_path)},
    )
    assert ended.returncode == ExitCode.BAD_INPUT
    assert json.loads(ended.stdout.decode("utf-8"))["problem"] == f"{plain(path)} does not exist"


def test_fetching_what_is_not_there_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert ended(monkeypatch, "fetch", "1.2.3", "--pacs", NOBODY, "--out", str(out)) == ExitCode.ARCHIVE
    assert not out.exists()


def test_a_folder_with_two_studies_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "one", VOXELS, study="one", patient="P1")
    write_series(tmp_path / "other", VOXELS, study="other", patient="P2")

    with pytest.raises(InputError, match="images of 2 studies"):
        subject_of(str(tmp_path), None, tmp_path)
    assert len(subject_of(str(tmp_path / "one"), None, tmp_path).series) == 1


def test_findings_that_are_not_told_again_are_named() -> None:
    head = {
        "tensor": "scores",
        "name": "Bleeding",
        "finding": SPLEEN,
        "classes": [{"channel": 1, "code": SPLEEN, "threshold": 0.5}],
    }
    assert not_retold(make_card()) == ()
    assert "Bleeding" in not_retold(make_card(classifications=[head]))[0]
