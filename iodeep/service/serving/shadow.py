"""The archive that results of models on trial go to: never one that clinical work knows.

Two names for one address are one archive, whatever their AE titles, which many archives don't look at. What this cannot see is an
archive that hands on what it is given, or one that is reached by DIMSE under one name and by DICOMweb under another.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Set
from urllib.parse import urlsplit

from iodeep.errors import SettingsError
from iodeep.settings import PacsSettings, Settings


def shadow_archive_of(settings: Settings) -> str:
    """``[lifecycle] shadow_archive``, empty where none is set. SettingsError where it is an archive of clinical work."""
    name = settings.lifecycle.shadow_archive if settings.lifecycle else ""
    if not name:
        return ""
    addresses = set(_addresses(settings.archive(name), _resolved))
    for clinical in sorted(_clinical(settings)):
        if addresses & set(_addresses(settings.archive(clinical), _resolved)):
            raise SettingsError(
                f"the shadow_archive {name!r} is an archive of clinical work",
                expected="one that no series comes from by itself and no clinical result goes to",
                found=f"the same address as {clinical!r}"
                if clinical != name
                else "the archive that clinical results go to",
                remedy="Name a research archive under [lifecycle] in iodeep.toml, or leave shadow_archive out.",
            )
    return name


def is_shadow_archive(settings: Settings, name: str) -> bool:
    """Whether ``name`` is the archive of trials, whatever it is called there: nobody is to be shown what it holds."""
    trials = settings.lifecycle.shadow_archive if settings.lifecycle else ""
    if not trials or name == trials:
        return bool(trials)
    ours, asked = (set(_addresses(settings.archive(each), _as_written)) for each in (trials, name))
    return bool(ours & asked)


def need_shadow_archive(settings: Settings, models: str) -> str:
    """The archive, which has to be there for ``models`` on trial. SettingsError where it is not set."""
    name = shadow_archive_of(settings)
    if not name:
        raise SettingsError(
            f"results of {models} have nowhere to go: a model in the state shadow needs an archive of its own",
            expected='shadow_archive = "NAME" under [lifecycle] in iodeep.toml, and [pacs.NAME] with its address',
            remedy="Set it, or put the model to quarantine (`iodeep quarantine`).",
        )
    return name


def _clinical(settings: Settings) -> set[str]:
    """Archives that series come from by themselves, or clinical results go to."""
    only = next(iter(settings.pacs), "") if len(settings.pacs) == 1 else ""
    named = {settings.default_pacs or only, settings.serve.results_to, *(each.pacs for each in settings.serve.polls)}
    return {each for each in named if each}


def _addresses(pacs: PacsSettings, hosts: Callable[[str], Set[str]]) -> Iterator[tuple[object, ...]]:
    """Where it is: each of the ``hosts`` that a name stands for, with port, and for DICOMweb the path."""
    if pacs.host:
        yield from ((host, pacs.port) for host in hosts(pacs.host))
    if pacs.dicomweb:
        url = urlsplit(pacs.dicomweb)
        port = url.port or _PORTS.get(url.scheme)
        yield from ((host, port, url.path.rstrip("/").casefold()) for host in hosts(url.hostname or ""))


_PORTS = {"http": 80, "https": 443}


def _as_written(host: str) -> Set[str]:
    return {host.casefold().rstrip(".")}


def _resolved(host: str) -> Set[str]:
    """The name and the addresses that it leads to; the name alone where nobody knows it now."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return _as_written(host)
    return _as_written(host) | {str(each[4][0]) for each in found}
