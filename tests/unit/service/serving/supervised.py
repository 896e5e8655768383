"""A supervisor in a process of its own, with children that do next to nothing: ``python -m ... FOLDER CHILD...``."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from iodeep.errors import SettingsError
from iodeep.serve_settings import JobSettings, LogSettings, ServeSettings
from iodeep.service.configuration import Configuration
from iodeep.service.serving.children import Child
from iodeep.service.serving.composition import folders_of
from iodeep.service.serving.context import ServeContext
from iodeep.service.serving.logs import set_up_logging
from iodeep.service.serving.supervisor import Supervisor
from iodeep.settings import Settings


def idle(context: ServeContext) -> None:
    """Until told to stop; leaves a note that it was."""
    context.announce({"idle": context.name})
    context.stop.wait()
    (context.folders.root / f"{context.name}.stopped").touch()


def deaf(context: ServeContext) -> None:
    """Does not care about being told."""
    context.announce({"deaf": context.name})
    threading.Event().wait()


def wrong(context: ServeContext) -> None:
    """Its settings cannot be used."""
    raise SettingsError(f"{context.name} has a port that is taken")


def main() -> None:
    """Supervise."""
    serve = ServeSettings(data=Path(sys.argv[1]), jobs=JobSettings(drain_s=30))
    configuration = Configuration(Settings(serve=serve), None, Path(sys.argv[1]) / "cache")
    set_up_logging(LogSettings())
    folders = folders_of(configuration)
    children = [Child(f"{kind}-{number}", f"{__spec__.name}:{kind}") for number, kind in enumerate(sys.argv[2:])]
    supervisor = Supervisor(children, configuration, folders, (folders.root / "all-ready").touch)
    sys.exit(int(supervisor.run()))


if __name__ == "__main__":
    main()
