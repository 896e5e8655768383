"""Who may come in: from which addresses, under which AE titles, and how many at a time (PS3.8 9.3.4)."""

from __future__ import annotations

import threading
from ipaddress import IPv4Address, IPv6Address, ip_address

from iodeep.errors import SettingsError
from iodeep.serve_settings import ListenerSettings, is_loopback
from pacs_bridge.dimse.negotiation import Rejection

_MOST_AT_THE_DOOR = 64
"""Connections that have not asked for an association yet, or are being told that there is none for them."""


class Visitors:
    """Counts connections and associations; shared by all threads."""

    def __init__(self, settings: ListenerSettings) -> None:
        if not settings.allowed_aets and not _is_guarded(settings):
            raise SettingsError(
                f"serve.listener would take associations of anybody at {settings.bind}",
                expected="allowed_aets, or a client_ca in serve.listener.tls, or a loopback bind",
                remedy="List the AE titles that may send in serve.listener.allowed_aets.",
            )
        self._settings = settings
        self._lock = threading.Lock()
        self._connections = 0
        self.associations = self.accepted = 0

    def knock(self, address: str) -> bool:
        """Whether a connection from there is served at all; :meth:`leave` in the end where it is."""
        if not self._from_allowed_network(address):
            return False
        with self._lock:
            if self._connections >= self._settings.max_associations + _MOST_AT_THE_DOOR:
                return False
            self._connections += 1
            return True

    def admit(self, calling: str, called: str) -> Rejection | None:
        """Why there is no association for the caller; :meth:`part` in the end where there is one."""
        if called != self._settings.aet:
            return Rejection(1, 1, 7, f"it called us {called!r}, and we are {self._settings.aet!r}")
        if self._settings.allowed_aets and calling not in self._settings.allowed_aets:
            return Rejection(1, 1, 3, f"the calling AE title {calling!r} is not in serve.listener.allowed_aets")
        with self._lock:
            if self.associations >= self._settings.max_associations:
                return Rejection(
                    2, 3, 2, f"{self.associations} associations are open (serve.listener.max_associations)"
                )
            self.associations += 1
            self.accepted += 1
            return None

    def part(self) -> None:
        """An association that was admitted has ended."""
        with self._lock:
            self.associations -= 1

    def leave(self) -> None:
        """A connection has ended."""
        with self._lock:
            self._connections -= 1

    def _from_allowed_network(self, address: str) -> bool:
        if not self._settings.allowed_addresses:
            return True
        parsed = _address(address)
        return any(parsed in network for network in self._settings.allowed_addresses)


def _is_guarded(settings: ListenerSettings) -> bool:
    return is_loopback(settings.bind) or (settings.tls is not None and settings.tls.client_ca is not None)


def _address(text: str) -> IPv4Address | IPv6Address:
    """An IPv4 address that came in through an IPv6 socket is one of IPv4."""
    parsed = ip_address(text.partition("%")[0])
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
