"""The table in ``docs/peers.md``: read, compared and written here, so that it says what the tests saw and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "peers.md"

_INTRODUCTION = """\
# What was tried on which PACS

Written by `pytest tests/peers/test_matrix.py --write-peers-matrix`, which starts each PACS as its package installs it,
with its own acceptance settings. A run without the option fails where this table says something else than what it sees.

- **yes**: done, and everything that came back was the same, value byte for value byte.
- **not offered**: the PACS has no such service. **refused**: the PACS does not negotiate it.
- **noticed**: the PACS answered Success and lost an instance; storing failed with its name.
"""


@dataclass
class Matrix:
    """What was seen: operation by operation, PACS by PACS; and the versions that it was seen on."""

    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def text(self, peers: list[str], operations: list[str]) -> str:
        """The document, in the given order."""
        rows = [
            [operation, *(self.cells.get(operation, {}).get(peer, "") for peer in peers)] for operation in operations
        ]
        rows.append(["tried on", *(self.versions.get(peer, "") for peer in peers)])
        head = ["", *peers]
        lines = [head, ["---"] * len(head), *rows]
        return _INTRODUCTION + "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def read_matrix(path: Path = DOCUMENT) -> Matrix:
    """The table of the document; empty where there is none yet."""
    matrix = Matrix()
    if not path.exists():
        return matrix
    table = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    peers = rows[0][1:]
    for operation, *cells in rows[2:]:
        seen = {peer: cell for peer, cell in zip(peers, cells, strict=True) if cell}
        if operation == "tried on":
            matrix.versions = seen
        else:
            matrix.cells[operation] = seen
    return matrix
