"""Whatever a DICOMweb server does wrong becomes an error that says what to do, and leaves nothing behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from iodeep.errors import ArchiveError, ArchiveUnreachableError, CancelledError, InputError, SettingsError
from iodeep.ports import Level, Wanted
from iodeep.settings import PacsSettings, TlsSettings
from pacs_bridge.dicomweb import DicomWebArchive
from pacs_bridge.server_process import free_port
from tests.peers.objects import Sample, raw_data_series
from tests.unit.pacs_bridge.dicomweb.server import JSON, MULTIPART, Answer, Reply, Request, Server, multipart, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda _: Reply()) as running:
        yield running


@pytest.fixture
def archive(server: Server) -> Iterator[DicomWebArchive]:
    with DicomWebArchive(PacsSettings(name="web", dicomweb=server.root)) as opened:
        yield opened


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return raw_data_series(tmp_path / "sample")


@pytest.fixture
def wanted(sample: Sample) -> Wanted:
    return Wanted(sample.study, sample.series)


def _listing(sample: Sample, instances: tuple[str, ...] | None = None) -> bytes:
    found = sample.instances if instances is None else instances
    return json.dumps(
        [
            {
                "0020000D": {"vr": "UI", "Value": [sample.study]},
                "0020000E": {"vr": "UI", "Value": [sample.series]},
                "00080018": {"vr": "UI", "Value": [uid]},
            }
            for uid in found
        ]
    ).encode()


def _holding(sample: Sample, retrieved: Reply, listing: bytes | None = None) -> Answer:
    """A server that lists a sample and gives ``retrieved`` for it."""

    def answer(request: Request) -> Reply:
        return Reply(body=listing or _listing(sample)) if "/instances?" in request.path else retrieved

    return answer


def _stored(stored: tuple[str, ...] = (), failed: dict[str, int] | None = None, warned: int | None = None) -> bytes:
    def item(uid: str, reason_tag: str, reason: int | None) -> dict[str, object]:
        reasons = {} if reason is None else {reason_tag: {"vr": "US", "Value": [reason]}}
        return {"00081155": {"vr": "UI", "Value": [uid]}, **reasons}

    return json.dumps(
        {
            "00081199": {"vr": "SQ", "Value": [item(uid, "00081196", warned) for uid in stored]},
            "00081198": {"vr": "SQ", "Value": [item(uid, "00081197", why) for uid, why in (failed or {}).items()]},
        }
    ).encode()


def test_a_whole_answer_is_kept_under_the_instances_uids(
    server: Server, archive: DicomWebArchive, sample: Sample, wanted: Wanted, tmp_path: Path
) -> None:
    server.answer = _holding(sample, Reply(content_type=MULTIPART, body=multipart(*sample.paths)))
    came = archive.fetch(wanted, tmp_path / "into")
    assert [path.name for path in came] == [f"{uid}.dcm" for uid in sample.instances]
    assert [path.read_bytes() for path in came] == [path.read_bytes() for path in sample.paths]
    asked = server.requests[-1].headers
    assert asked["accept-encoding"] == "identity"
    assert "transfer-syntax=*" in asked["accept"]


def test_a_single_instance_may_come_bare(
    server: Server, archive: DicomWebArchive, sample: Sample, tmp_path: Path
) -> None:
    server.answer = lambda _: Reply(content_type="application/dicom", body=sample.paths[0].read_bytes())
    (came,) = archive.fetch(Wanted(sample.study, sample.series, sample.instances[:1]), tmp_path / "into")
    assert came.read_bytes() == sample.paths[0].read_bytes()


def _wrong_replies(sample: Sample, stranger: Sample) -> dict[str, tuple[Reply, str]]:
    whole = multipart(*sample.paths)
    return {
        "cut off in a part": (Reply(content_type=MULTIPART, body=whole[: len(whole) // 2]), "not whole"),
        "no final boundary": (Reply(content_type=MULTIPART, body=multipart(*sample.paths, closed=False)), "not whole"),
        "shorter than promised": (
            Reply(content_type=MULTIPART, body=whole[:-400], promised=len(whole)),
            "ended before it was complete|connection was lost",
        ),
        "HTML": (Reply(content_type="text/html", body=b"<h1>Welcome</h1>"), "something else than DICOM.*Welcome"),
        "parts of HTML": (
            Reply(content_type=MULTIPART, body=multipart(*sample.paths, part_type="text/html")),
            "something else than DICOM",
        ),
        "no boundary named": (Reply(content_type="multipart/related", body=whole), "something else than DICOM"),
        "an instance less": (Reply(content_type=MULTIPART, body=multipart(*sample.paths[1:])), "gave 2 of 3 instances"),
        "an instance twice": (
            Reply(content_type=MULTIPART, body=multipart(*sample.paths, *sample.paths[:1])),
            "gave 4 of 3",
        ),
        "a stranger's instance": (
            Reply(content_type=MULTIPART, body=multipart(*sample.paths[:2], *stranger.paths)),
            "was not asked for",
        ),
        "busy": (Reply(503, "text/plain", b"come back later"), "HTTP 503.*come back later.*try again later"),
        "forbidden": (Reply(403), "HTTP 403.*lacks the right"),
        "gone": (Reply(404, JSON, b'{"Message":"Unknown resource"}'), "HTTP 404.*Unknown resource"),
    }


@pytest.mark.parametrize("how", list(_wrong_replies(Sample("", "", "", (), ()), Sample("", "", "", (), ()))))
def test_a_wrong_retrieve_is_an_error_and_leaves_nothing(
    server: Server, archive: DicomWebArchive, sample: Sample, wanted: Wanted, tmp_path: Path, how: str
) -> None:
    reply, message = _wrong_replies(sample, raw_data_series(tmp_path / "stranger", parts=1))[how]
    server.answer = _holding(sample, reply)
    with pytest.raises(ArchiveError, match=message):
        archive.fetch(wanted, tmp_path / "new" / "into")
    assert not (tmp_path / "new" / "into").exists()


def test_what_was_in_the_folder_before_stays(
    server: Server, archive: DicomWebArchive, sample: Sample, wanted: Wanted, tmp_path: Path
) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "mine.txt").write_text("mine")
    server.answer = _holding(sample, Reply(content_type=MULTIPART, body=multipart(*sample.paths, closed=False)))
    with pytest.raises(ArchiveError):
        archive.fetch(wanted, tmp_path / "into")
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["mine.txt"]


def test_a_retrieve_is_cancelled_between_chunks(
    server: Server, archive: DicomWebArchive, sample: Sample, wanted: Wanted, tmp_path: Path
) -> None:
    server.answer = _holding(sample, Reply(content_type=MULTIPART, body=multipart(*sample.paths)))
    cancel = threading.Event()
    with pytest.raises(CancelledError):
        archive.fetch(wanted, tmp_path / "into", progress=lambda _: cancel.set(), cancel=cancel)
    assert not (tmp_path / "into").exists()


def test_instances_are_stored_as_they_are_on_disk(server: Server, archive: DicomWebArchive, sample: Sample) -> None:
    server.answer = lambda _: Reply(body=_stored(sample.instances))
    report = archive.store(sample.paths)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/dicom-web/studies")
    assert request.headers["content-length"] == str(len(request.body))
    assert all(path.read_bytes() in request.body for path in sample.paths)
    assert (report.instances, report.warnings) == (3, ())


@pytest.mark.parametrize("status", [200, 202, 409])
def test_each_refused_instance_is_named_with_its_reason_whatever_the_status(
    server: Server, archive: DicomWebArchive, sample: Sample, status: int
) -> None:
    failed = {sample.instances[1]: 0x0122, sample.instances[2]: 0xA701}
    server.answer = lambda _: Reply(status, body=_stored(sample.instances[:1], failed))
    with pytest.raises(ArchiveError) as caught:
        archive.store(sample.paths)
    said = str(caught.value)
    assert "2 instances were not stored" in said
    assert "part2.dcm (SOP class 1.2.840.10008.5.1.4.1.1.66): SOP class not supported (0x0122)" in said
    assert "part3.dcm (SOP class 1.2.840.10008.5.1.4.1.1.66): out of resources (0xA701)" in said
    assert "part1.dcm" not in said


def test_an_instance_of_which_the_answer_says_nothing_is_not_stored(
    server: Server, archive: DicomWebArchive, sample: Sample
) -> None:
    server.answer = lambda _: Reply(body=_stored(sample.instances[:2]))
    with pytest.raises(ArchiveError, match=r"part3\.dcm.*says nothing of it"):
        archive.store(sample.paths)


@pytest.mark.parametrize(
    ("content_type", "body"), [("text/html", b"<p>ok</p>"), ("application/dicom+xml", b"<x/>"), (JSON, b"")]
)
def test_an_answer_that_lists_nothing_is_not_taken_for_stored(
    server: Server, archive: DicomWebArchive, sample: Sample, content_type: str, body: bytes
) -> None:
    server.answer = lambda _: Reply(200, content_type, body)
    with pytest.raises(ArchiveError, match="nobody can tell what was stored"):
        archive.store(sample.paths)


def test_a_duplicate_and_a_coercion_are_warnings(server: Server, archive: DicomWebArchive, sample: Sample) -> None:
    server.answer = lambda _: Reply(
        409, body=_stored(sample.instances[:2], {sample.instances[2]: 0x0111}, warned=0xB000)
    )
    warnings = archive.store(sample.paths).warnings
    assert len(warnings) == 3
    assert "part3.dcm is there already; verify that it is the same" in warnings[0]
    assert warnings[1].endswith("part1.dcm: data elements were coerced (0xB000)")


@pytest.mark.parametrize(
    ("status", "message"), [(413, "lower max_part_size"), (507, "storage is full"), (302, "HTTP 302")]
)
def test_a_refused_request_says_what_to_do(
    server: Server, archive: DicomWebArchive, sample: Sample, status: int, message: str
) -> None:
    server.answer = lambda _: Reply(status, "text/plain", b"")
    with pytest.raises(ArchiveError, match=message):
        archive.store(sample.paths)


def test_storing_is_cancelled_between_chunks(server: Server, archive: DicomWebArchive, sample: Sample) -> None:
    cancel = threading.Event()
    with pytest.raises(CancelledError):
        archive.store(sample.paths, progress=lambda _: cancel.set(), cancel=cancel)


def test_a_study_over_the_archives_limit_is_refused_before_the_first_byte(server: Server, sample: Sample) -> None:
    settings = PacsSettings(name="web", dicomweb=server.root, max_study_size=10_000)
    with DicomWebArchive(settings) as archive, pytest.raises(ArchiveError, match=r"at most 10000 bytes.*found 1\d{4}"):
        archive.store(sample.paths)
    assert server.requests == []


def test_one_instance_in_two_files_is_bad_input(archive: DicomWebArchive, sample: Sample, tmp_path: Path) -> None:
    twin = tmp_path / "twin.dcm"
    twin.write_bytes(sample.paths[0].read_bytes())
    with pytest.raises(InputError, match=r"part1\.dcm and .*twin\.dcm hold the same"):
        archive.store([*sample.paths, twin])


def test_large_files_go_alone_and_small_ones_together(
    server: Server, archive: DicomWebArchive, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs_bridge.dicomweb.archive._REQUEST_BYTES", 12_000)
    server.answer = lambda _: Reply(body=_stored(sample.instances))
    archive.store(sample.paths)
    assert [request.body.count(b"application/dicom") for request in server.requests] == [2, 1]


def test_verifying_names_what_is_missing_and_what_was_altered(
    server: Server, archive: DicomWebArchive, sample: Sample, tmp_path: Path
) -> None:
    altered = tmp_path / "altered.dcm"
    octets = bytearray(sample.paths[1].read_bytes())
    octets[-8] ^= 1
    altered.write_bytes(bytes(octets))

    def answer(request: Request) -> Reply:
        if "/instances?" in request.path:
            return Reply(body=_listing(sample, sample.instances[:2]))
        path = altered if request.path.endswith(sample.instances[1]) else sample.paths[0]
        return Reply(content_type=MULTIPART, body=multipart(path))

    server.answer = answer
    with pytest.raises(ArchiveError) as caught:
        archive.verify_stored(sample.paths)
    said = str(caught.value)
    assert "does not hold 2 instances as they were sent" in said
    assert "part2.dcm: (7FE1,1030): the value (5000 bytes) was altered" in said
    assert "part3.dcm: not found again" in said


def test_wildcards_go_out_raw_and_what_would_be_encoded_becomes_one(server: Server, archive: DicomWebArchive) -> None:
    archive.find(Level.STUDY, {"PatientName": "M\u00fcller^J?n*", "PatientID": "A B", "StudyDate": "2026-"})
    query = server.requests[0].path.partition("?")[2].split("&")
    assert {"PatientName=M*ller*J?n*", "PatientID=A*B", "StudyDate=2026-"} <= set(query)


def test_paging_ends_when_a_page_brings_nothing_new(
    server: Server, archive: DicomWebArchive, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs_bridge.dicomweb.query.PAGE", 2)

    def paged(request: Request) -> Reply:
        offset = int(dict(part.split("=") for part in request.path.partition("?")[2].split("&"))["offset"])
        return Reply(body=_listing(sample, sample.instances[offset : offset + 2]))

    server.answer = paged
    match = {"StudyInstanceUID": sample.study, "SeriesInstanceUID": sample.series}
    assert len(archive.find(Level.IMAGE, match)) == 3
    server.answer = lambda _: Reply(body=_listing(sample, sample.instances[:2]))
    with pytest.raises(ArchiveError, match="same 2 answers for every page"):
        archive.find(Level.IMAGE, match)


def test_names_numbers_and_several_values_become_text(server: Server, archive: DicomWebArchive) -> None:
    item = {
        "0020000D": {"vr": "UI", "Value": ["1.2"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "\u5c71\u7530^\u592a\u90ce"}]},
        "00080061": {"vr": "CS", "Value": ["CT", None, "MR"]},
        "00201208": {"vr": "IS", "Value": [42]},
        "00080050": {"vr": "SH"},
    }
    server.answer = lambda _: Reply(body=json.dumps([item]).encode())
    include = ["PatientName", "ModalitiesInStudy", "NumberOfStudyRelatedInstances", "AccessionNumber"]
    assert archive.find(Level.STUDY, {}, include) == [
        {
            "StudyInstanceUID": "1.2",
            "PatientName": "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce",
            "ModalitiesInStudy": "CT\\\\MR",
            "NumberOfStudyRelatedInstances": "42",
            "AccessionNumber": "",
        }
    ]


@pytest.mark.parametrize("body", [b"<html>", b"42", b'["a"]'])
def test_an_answer_to_a_query_that_is_no_dicom_json_is_an_error(
    server: Server, archive: DicomWebArchive, body: bytes
) -> None:
    server.answer = lambda _: Reply(body=body)
    with pytest.raises(ArchiveError):
        archive.find(Level.STUDY, {})


def test_an_echo_names_the_server(server: Server, archive: DicomWebArchive) -> None:
    reply = archive.echo()
    assert reply.peer == f"web ({server.root})"
    assert "BaseHTTP" in (reply.implementation or "")


def test_nothing_listening_says_what_to_check() -> None:
    settings = PacsSettings(name="web", dicomweb=f"http://127.0.0.1:{free_port()}/dicom-web")
    with DicomWebArchive(settings) as archive:
        for ask in (archive.echo, lambda: archive.find(Level.STUDY, {})):
            with pytest.raises(ArchiveUnreachableError, match=r"nothing answers.*refused.*Check host and port"):
                ask()


def test_silence_ends_after_the_time_limit(server: Server) -> None:
    server.answer = lambda _: Reply(hold=True)
    settings = PacsSettings(name="web", dicomweb=server.root, timeout_s=0.1)
    with (
        DicomWebArchive(settings) as archive,
        pytest.raises(ArchiveUnreachableError, match=r"no sign of life for 0\.1 s"),
    ):
        archive.echo()


def test_credentials_are_sent_and_never_told(server: Server) -> None:
    root = server.root.replace("http://", "http://doctor:secret@")
    server.answer = lambda _: Reply(401)
    with DicomWebArchive(PacsSettings(name="web", dicomweb=root)) as archive:
        with pytest.raises(ArchiveError, match="HTTP 401") as caught:
            archive.echo()
        assert server.requests[0].headers["authorization"].startswith("Basic ")
        assert "secret" not in f"{caught.value}{archive.name}"


def test_the_environment_is_not_consulted(
    server: Server, archive: DicomWebArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert archive.echo().milliseconds > 0


def test_tls_with_a_server_that_speaks_none_is_told(server: Server) -> None:
    root = server.root.replace("http://", "https://")
    with (
        DicomWebArchive(PacsSettings(name="web", dicomweb=root)) as archive,
        pytest.raises(ArchiveUnreachableError, match="no trusted TLS connection"),
    ):
        archive.echo()


def test_a_ca_file_that_is_missing_is_a_wrong_setting(server: Server, tmp_path: Path) -> None:
    tls = TlsSettings(ca=tmp_path / "ca.pem")
    root = server.root.replace("http://", "https://")
    with (
        DicomWebArchive(PacsSettings(name="web", dicomweb=root, tls=tls)) as archive,
        pytest.raises(SettingsError, match=r"ca\.pem"),
    ):
        archive.echo()


def test_an_address_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="no DICOMweb address"):
        DicomWebArchive(PacsSettings(name="x", host="h", port=1, aet="A"))
    with pytest.raises(SettingsError, match="not an HTTP address"):
        DicomWebArchive(PacsSettings(name="x", dicomweb="pacs/dicom-web"))
