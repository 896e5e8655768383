"""The command line: what a PACS administrator types. Commands call use cases and print; they decide nothing."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from iodeep import __version__
from iodeep.errors import CancelledError, IODeepError, LocalStorageError
from iodeep.service.cli.commands import CommandGroup
from iodeep.service.cli.output import show_error

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Trained networks as DICOM objects: your PACS is the model registry.\n\n"
        "A tour: **pack** a network, **store** it, **select** the model for a series, **run** it. "
        "`iodeep demo` shows all of it on a real series.\n\n"
        "Exit codes: 0 done, 2 usage, 3 no model fits, 4 bad input, 5 object not trusted, 6 archive, 7 inference, "
        "8 settings, 9 local storage, 130 cancelled."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        Console(highlight=False).print(f"iodeep {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None: ...


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_PATH = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _Interrupted(BaseException):
    """A signal that asks to end: everything is unwound, so that no process and no patient's image stays behind."""


def main() -> None:
    """Run the command line; every expected error becomes one line and its exit code."""
    _quieten_libraries()
    _print_whatever_a_path_holds()
    atexit.register(gc.freeze)  # what is left goes with the process: to look for cycles in it takes half a second
    try:
        with _signals_unwind(), _few_collections():
            app()
    except IODeepError as error:
        _leave(error)
    except (KeyboardInterrupt, _Interrupted):
        _leave(CancelledError("interrupted", remedy="Nothing was left half-written; run the command again."))
    except OSError as error:
        if error.errno not in _DISK | _PATH:
            raise
        where = f" {error.filename}" if error.filename else ""
        _leave(
            LocalStorageError(
                f"a local file or folder{where} cannot be used: {error.strerror}",
                remedy="Make room or name another one; nothing was left half-written.",
            )
        )


@contextmanager
def _few_collections() -> Iterator[None]:
    """Look for cycles after every 10,000 new objects, not 700: a command imports and reads far more than it lets go."""
    before = gc.get_threshold()
    gc.set_threshold(10_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """End by an exception where the system would end at once; a second signal does. One that is ignored stays so."""
    before = {number: signal.getsignal(number) for number in _ENDING}

    def unwind(_number: int, _frame: FrameType | None) -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_DFL)
        raise _Interrupted

    for number, handler in before.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, unwind)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _quieten_libraries() -> None:
    """What libraries remark on other people's files is no message of ours; ``python -W`` brings it back."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.ERROR)


def _print_whatever_a_path_holds() -> None:
    """A path may hold bytes that are no text in the terminal's encoding: they are escaped, and never end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _leave(error: IODeepError) -> None:
    show_error(error, as_json="--json" in sys.argv)
    sys.exit(error.exit_code)
