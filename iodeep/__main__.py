"""``python -m iodeep`` is the command line."""

from __future__ import annotations

from iodeep.service.cli import main

main()
