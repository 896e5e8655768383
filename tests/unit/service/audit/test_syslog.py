"""The log reaches a syslog receiver whole, over TLS, however often the receiver goes away."""

from __future__ import annotations

import logging
import re
import socket
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from iodeep.errors import SettingsError
from iodeep.serve_settings import AuditSettings, ServerTlsSettings, ServeSettings
from iodeep.service.audit import open_audit, read_events
from iodeep.service.audit.event import AuditEvent, EventKind, Outcome
from iodeep.service.audit.forwarding import Forwarder, Mark, after, read_mark
from iodeep.service.audit.syslog import as_syslog, target_of
from iodeep.service.serving import DataFolders
from iodeep.service.tls import MadeCertificates, make_certificates
from pacs_bridge.tls_profiles import server_context
from tests.unit.service.audit.logs import Place
from tests.unit.service.audit.receiver import Receiver, receiving

QUICK_S = 0.01


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeCertificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), ["127.0.0.1"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@contextmanager
def _forwarding(place: Place, port: int, scheme: str = "tcp", **settings: Any) -> Iterator[None]:
    given = AuditSettings(syslog=f"{scheme}://127.0.0.1:{port}", **settings)
    stop = threading.Event()
    place.folder.mkdir(exist_ok=True)
    thread = threading.Thread(target=Forwarder(place.folder, given, QUICK_S).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _number(message: bytes) -> int:
    """The line's number, as a receiver finds it."""
    tree = etree.fromstring(message.partition(b"\xef\xbb\xbf")[2])
    for each in tree.findall("ParticipantObjectIdentification"):
        kind = each.find("ParticipantObjectIDTypeCode")
        if kind is not None and kind.get("csd-code") == "LINE":
            return int(each.get("ParticipantObjectID", "0"))
    pytest.fail("the message names no line")


def _numbers_until(receiver: Receiver, last: int) -> list[int]:
    found = [_number(receiver.messages.get(timeout=30))]
    while found[-1] != last:
        found.append(_number(receiver.messages.get(timeout=30)))
    return found


def test_a_message_has_the_header_that_the_standard_asks_for(place: Place) -> None:
    place.open().record(AuditEvent(EventKind.SECURITY_ALERT, Outcome.SERIOUS_FAILURE, detail="é"))
    message = as_syslog(read_events(place.folder)[0], "SITE")

    assert re.match(
        rb"<83>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d \S+ IODeep \d+ DICOM\+RFC3881 - \xef\xbb\xbf<AuditMessage>",
        message,
    )


def test_what_is_recorded_arrives_over_tls_in_its_order(place: Place, made: MadeCertificates) -> None:
    context = server_context(ServerTlsSettings(certificate=made.server, key=made.server_key, client_ca=made.ca))
    ours = {"syslog_ca": made.ca, "syslog_certificate": made.client, "syslog_key": made.client_key}
    place.write(3)
    with receiving(context) as receiver, _forwarding(place, receiver.port, "tls", **ours):
        assert _numbers_until(receiver, 3) == [1, 2, 3]
        place.write(2)
        assert _numbers_until(receiver, 5) == [4, 5]


def test_the_hash_of_a_line_is_kept_by_the_receiver(place: Place) -> None:
    place.write(1)
    with receiving() as receiver, _forwarding(place, receiver.port):
        message = receiver.messages.get(timeout=30)
    value = re.search(rb'type="hash" value="([^"]+)"', message)

    assert value is not None
    assert place.check((1, b64decode(value[1]).decode())).whole


def test_a_receiver_with_a_certificate_of_another_ca_gets_nothing(
    place: Place, made: MadeCertificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = server_context(ServerTlsSettings(certificate=made.server, key=made.server_key))
    other = make_certificates(tmp_path / "other", ["127.0.0.1"])
    waited = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            waited.set()

    handler = Heard()
    logging.getLogger("iodeep.service.audit.forwarding").addHandler(handler)
    place.write(1)
    with receiving(context) as receiver, _forwarding(place, receiver.port, "tls", syslog_ca=other.ca):
        assert waited.wait(30)
    logging.getLogger("iodeep.service.audit.forwarding").removeHandler(handler)

    assert receiver.messages.empty()
    assert read_mark(place.folder).sequence == 0
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


def test_nothing_is_lost_while_the_receiver_is_away(place: Place) -> None:
    with receiving() as receiver:
        port = receiver.port
    place.write(5)
    with _forwarding(place, port):
        place.write(5)
        with receiving(port=port) as receiver:
            assert _numbers_until(receiver, 10) == list(range(1, 11))


def test_nothing_is_lost_when_the_receiver_dies_again_and_again(place: Place) -> None:
    """Lines may come twice after a break; a receiver tells by their number."""
    came: set[int] = set()
    with receiving() as receiver:
        port = receiver.port
    with _forwarding(place, port):
        for round_ in range(1, 6):
            place.write(20)
            with receiving(port=port) as receiver:
                came.update(_numbers_until(receiver, round_ * 20))

    assert came == set(range(1, 101))


def test_a_restart_goes_on_where_the_receiver_has_the_log(place: Place) -> None:
    place.write(3)
    with receiving() as receiver:
        with _forwarding(place, receiver.port):
            _numbers_until(receiver, 3)
        marked = read_mark(place.folder).sequence
        place.write(1)
        with _forwarding(place, receiver.port):
            assert _numbers_until(receiver, 4) == list(range(marked + 1, 5))


def test_of_two_forwarders_one_sends(place: Place) -> None:
    place.write(3)
    with receiving() as receiver, _forwarding(place, receiver.port), _forwarding(place, receiver.port):
        assert _numbers_until(receiver, 3) == [1, 2, 3]
        place.write(1)
        assert _numbers_until(receiver, 4) == [4]
        assert receiver.messages.empty()


def test_the_queue_goes_over_midnight(place: Place) -> None:
    place.write(2)
    place.file.rename(place.folder / "audit-2026-01-01.jsonl")
    place.write(1)
    with receiving() as receiver, _forwarding(place, receiver.port):
        last = read_events(place.folder, limit=1)[0].sequence
        assert _numbers_until(receiver, last) == list(range(1, last + 1))


def test_a_line_that_is_being_written_waits_for_its_end(place: Place) -> None:
    place.write(2)
    whole = place.file.read_bytes()
    place.file.write_bytes(whole[:-5])
    sent = [mark for _, mark in after(place.folder, Mark(), most=10)]
    place.file.write_bytes(whole)

    assert [mark.sequence for mark in sent] == [1]
    assert [mark.sequence for _, mark in after(place.folder, sent[-1], most=10)] == [2]


def test_datagrams_carry_one_message_each(place: Place) -> None:
    place.write(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        with _forwarding(place, receiver.getsockname()[1], "udp"):
            assert [_number(receiver.recv(65535)) for _ in range(2)] == [1, 2]


def test_opening_the_log_starts_sending_where_a_receiver_is_set(tmp_path: Path) -> None:
    with receiving() as receiver:
        settings = ServeSettings.model_validate({"audit": {"syslog": f"tcp://127.0.0.1:{receiver.port}"}})
        log = open_audit(DataFolders(tmp_path, settings), "api")
        log.record(AuditEvent(EventKind.APPLICATION_START))

        assert _number(receiver.messages.get(timeout=30)) == 1
        log.close()


@pytest.mark.parametrize("url", ["host:514", "http://host", "tls://", "tls://host:port", "tcp://:514"])
def test_an_address_that_is_none_is_told_at_once(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="no receiver"):
        open_audit(DataFolders(tmp_path, ServeSettings.model_validate({"audit": {"syslog": url}})), "api")


def test_ports_are_those_of_the_standards_where_left_out() -> None:
    assert target_of("tls://siem.example") == ("tls", "siem.example", 6514)
    assert target_of("udp://siem.example") == ("udp", "siem.example", 514)
