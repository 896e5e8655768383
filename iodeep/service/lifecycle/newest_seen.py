"""The newest record that this machine has seen of the register, in a small file of the data folder.

An older database that is put back has a chain that holds; that it is older shows only beside what was seen before. Whoever puts
a backup back on purpose removes the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import IntegrityError
from iodeep.service.audit.files import locked
from iodeep.service.private_files import write_private
from iodeep.trust.lifecycle.chain import SignedRecord
from iodeep.trust.lifecycle.ledger import Ledger

FILE, LOCK = "register.seen", "register.lock"


@dataclass(frozen=True)
class Mark:
    """A record's number in the chain, and its digest; 0: none was seen."""

    sequence: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class NewestSeen:
    """What the machine remembers of a register with a certain key; another key is another register."""

    folder: Path
    key: str
    """Type and identifier, as signatures name it."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    def mark(self) -> Mark:
        """What was seen so far: asked before a chain is read, as others may add to it meanwhile. IntegrityError where it was damaged."""
        try:
            document = json.loads(self.path.read_bytes())
            of_this = document["key"] == self.key
            return Mark(int(document["sequence"]), str(document["sha256"])) if of_this else Mark()
        except FileNotFoundError:
            return Mark()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise IntegrityError(
                f"what this machine has seen of the register of model states, {self.path}, cannot be read",
                remedy="Find out who damaged it; then remove it. Until then no model runs.",
            ) from error

    def check(self, mark: Mark, records: Sequence[SignedRecord]) -> None:
        """IntegrityError where a chain, which holds, does not go on from what was seen before it was read."""
        there = records[mark.sequence - 1 : mark.sequence]
        found = hashlib.sha256(there[0].content).hexdigest() if there else ""
        if mark.sequence and found != mark.sha256:
            raise IntegrityError(
                "the register of model states is an older one than this machine has seen, or another one",
                expected=f"record {mark.sequence} with SHA-256 {mark.sha256}",
                found=f"{found or 'none'}; {len(records)} records",
                remedy=f"No model runs. If a backup was put back on purpose, remove {self.path}, and decide anew what was decided since.",
            )

    def keep(self, ledger: Ledger) -> None:
        """Remember the end of a chain that was checked. Where that cannot be written, an older mark notices less, and does no harm."""
        with suppress(OSError):
            if ledger.sequence > self.mark().sequence:
                with locked(self.folder / LOCK):
                    if ledger.sequence > self.mark().sequence:
                        document = {"key": self.key, "sequence": ledger.sequence, "sha256": ledger.head}
                        write_private(self.path, json.dumps(document).encode())
