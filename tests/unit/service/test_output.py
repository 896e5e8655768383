"""What the command line prints: words from outside are shown as they are, never taken for the console's markup."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.markup import escape

from iodeep.card import read_card
from iodeep.errors import is_plain
from iodeep.model_object import pack_model
from iodeep.service.cli import main
from iodeep.service.cli.output import people, table
from tests.unit.model_object.models import BRAIN_CARD, write_payloads


@pytest.mark.parametrize("command", ["show", "verify"])
def test_brackets_in_a_name_are_printed(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = read_card(BRAIN_CARD).model_copy(update={"name": "Brain [bold]"})
    packed = pack_model(card, write_payloads(tmp_path / "files", {"brain-extraction.onnx": 100}), tmp_path / "packed")
    packed.parts[0].unlink()
    monkeypatch.setattr(sys, "argv", ["iodeep", command, str(packed.folder)])

    with pytest.raises(SystemExit):
        main()

    assert "Brain [bold] 1.0.2" in capsys.readouterr().out


def test_what_somebody_wrote_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """In a line, a table, and beside markup of our own; ESC, the one-byte CSI, and what turns text around."""
    said = "no\x1b[2K\x9b1A\u202eyes"
    rows = table(None, "why")
    rows.add_row(escape(said))

    people().print("[red]no[/]", escape(said))
    people().print(rows)

    shown = capsys.readouterr().out
    assert shown.count("no\\x1b[2K\\x9b1A\\u202eyes") == 2
    assert is_plain(shown, allowed="\n")
