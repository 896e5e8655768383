"""Foreign senders and our listener: DCMTK's storescu, plain and over TLS, and Orthanc that stores and routes to us."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydicom import dcmread

from iodeep.serve_settings import ServerTlsSettings
from pacs_bridge import open_archive
from tests.peers.objects import raw_data_series
from tests.peers.servers import Peer, orthanc
from tests.unit.pacs_bridge.listener.harness import LOOPBACK, Running, ct_slices, data_set, running

pytestmark = pytest.mark.peers
SAMPLES = Path(__file__).parents[2] / "sample_data"


def dcmtk(program: str, run: Running, *arguments: str | Path, aet: str = "IODEEP") -> subprocess.CompletedProcess[str]:
    """One of DCMTK's clients against the listener."""
    found = shutil.which(program)
    if not found:
        pytest.skip(f"{program} is not installed (apt-get install dcmtk)")
    return subprocess.run(
        [found, "-v", "-aet", "MODALITY", "-aec", aet, *map(str, arguments[:-1]), LOOPBACK, str(run.port)]
        + ([str(arguments[-1])] if program == "storescu" else []),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def storescu(run: Running, *options: str | Path, files: Path) -> subprocess.CompletedProcess[str]:
    return dcmtk("storescu", run, "--scan-directories", *options, files)


def test_dcmtk_stores_a_series_to_us(tmp_path: Path) -> None:
    sent = ct_slices(tmp_path / "sent", 12)
    with running(tmp_path, allowed_aets=("MODALITY",)) as run:
        ended = storescu(run, files=tmp_path / "sent")

        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert len(run.told.instances) == 12
        for path in sent:
            header, _ = data_set(path)
            kept = run.spool.place(header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID)
            assert dcmread(kept).PixelData == header.PixelData


@pytest.mark.parametrize("option", ["-xs", "-xv", "-xr", "-xd"])
def test_dcmtk_proposes_compressed_syntaxes_and_gets_what_it_proposes(tmp_path: Path, option: str) -> None:
    ct_slices(tmp_path / "sent", 2)
    with running(tmp_path) as run:
        assert storescu(run, option, files=tmp_path / "sent").returncode == 0
        assert len(run.files()) == 2


def test_dcmtk_is_rejected_under_another_name(tmp_path: Path) -> None:
    ct_slices(tmp_path / "sent", 1)
    with running(tmp_path, allowed_aets=("OTHER",)) as run:
        ended = storescu(run, files=tmp_path / "sent")

        assert ended.returncode != 0
        assert "Calling AE Title Not Recognized" in ended.stdout + ended.stderr
        assert run.files() == []


def test_dcmtk_is_told_why_a_model_object_is_refused(tmp_path: Path) -> None:
    raw_data_series(tmp_path / "sent", parts=1)
    with running(tmp_path) as run:
        ended = storescu(run, files=tmp_path / "sent")
        assert "Refused: SOPClassNotSupported" in ended.stdout + ended.stderr
        assert run.files() == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path) -> ServerTlsSettings:
    """Our certificate, and the CA whose clients we take."""
    _issue(authority, tmp_path, "ours")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return ServerTlsSettings(
        certificate=tmp_path / "ours.cert", key=tmp_path / "ours.key", client_ca=tmp_path / "ca.pem"
    )


def _issue(authority: trustme.CA, folder: Path, name: str) -> None:
    issued = authority.issue_cert(LOOPBACK)
    issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.cert"))
    issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))


def _with_certificate(folder: Path, name: str) -> tuple[str | Path, ...]:
    return ("+tls", folder / f"{name}.key", folder / f"{name}.cert", "+cf", folder / "ca.pem")


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_dcmtk_stores_over_tls_by_the_bcp_195_profiles(
    authority: trustme.CA, tls: ServerTlsSettings, tmp_path: Path, profile: str
) -> None:
    ct_slices(tmp_path / "sent", 3)
    _issue(authority, tmp_path, "theirs")
    with running(tmp_path, tls=tls) as run:
        ended = storescu(run, *_with_certificate(tmp_path, "theirs"), profile, files=tmp_path / "sent")

        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert len(run.files()) == 3


def test_who_speaks_no_tls_gets_nothing(tls: ServerTlsSettings, tmp_path: Path) -> None:
    ct_slices(tmp_path / "sent", 1)
    with running(tmp_path, tls=tls) as run:
        assert storescu(run, files=tmp_path / "sent").returncode != 0
        assert dcmtk("echoscu", run, "").returncode != 0
        assert run.files() == []


def test_who_shows_no_certificate_or_one_of_strangers_gets_nothing(tls: ServerTlsSettings, tmp_path: Path) -> None:
    ct_slices(tmp_path / "sent", 1)
    _issue(trustme.CA(), tmp_path, "stranger")
    with running(tmp_path, tls=tls) as run:
        anonymous = storescu(run, "+tla", "+cf", tmp_path / "ca.pem", files=tmp_path / "sent")
        stranger = storescu(run, *_with_certificate(tmp_path, "stranger"), files=tmp_path / "sent")

        assert anonymous.returncode != 0
        assert stranger.returncode != 0
        assert run.files() == []


def test_ciphers_that_bcp_195_has_given_up_are_not_spoken(
    authority: trustme.CA, tls: ServerTlsSettings, tmp_path: Path
) -> None:
    ct_slices(tmp_path / "sent", 1)
    _issue(authority, tmp_path, "theirs")
    with running(tmp_path, tls=tls) as run:
        ended = storescu(
            run, *_with_certificate(tmp_path, "theirs"), "+pa", files=tmp_path / "sent"
        )  # AES-CBC, TLS 1.0
        assert ended.returncode != 0
        assert run.files() == []


def _rest(peer: Peer, path: str, body: Any) -> Any:
    assert peer.dicomweb is not None
    root = peer.dicomweb.removesuffix("/dicom-web")
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    asked = urllib.request.Request(f"{root}{path}", data=content, method="POST")
    with urllib.request.urlopen(asked, timeout=60) as reply:
        return json.loads(reply.read() or b"null")


@pytest.fixture
def known_to_orthanc(orthanc_peer: Peer, tmp_path: Path) -> Iterator[Running]:
    """A listener at the address that Orthanc has for IODEEP."""
    _, port = orthanc_peer.move_destinations[0]
    with running(tmp_path, port=port, allowed_aets=("ORTHANC",)) as run:
        yield run


def test_orthanc_stores_a_series_to_us(orthanc_peer: Peer, known_to_orthanc: Running, tmp_path: Path) -> None:
    sent = ct_slices(tmp_path / "sent", 10, name="by hand", study="by hand")
    with open_archive(orthanc_peer.settings()) as archive:
        archive.store(sent)
    [series] = _rest(orthanc_peer, "/tools/lookup", str(dcmread(sent[0]).SeriesInstanceUID))

    answer = _rest(orthanc_peer, "/modalities/IODEEP/store", [series["ID"]])

    assert answer["InstancesCount"] == 10
    assert answer["FailedInstancesCount"] == 0
    assert {instance.sender for instance in known_to_orthanc.told.instances} == {"ORTHANC"}
    assert len(known_to_orthanc.files()) == 10


def test_orthanc_routes_what_it_gets_to_us(tmp_path: Path) -> None:
    with running(tmp_path) as run, _routing_orthanc(tmp_path / "orthanc", run.port) as routing:
        with open_archive(routing.settings()) as archive:
            archive.store(ct_slices(tmp_path / "sent", 6))
        run.told.wait_for(lambda told: len(told.instances) >= 6)
        assert len(run.files()) == 6


def _routing_orthanc(folder: Path, port: int) -> AbstractContextManager[Peer]:
    script = "function OnStoredInstance(id, tags, metadata, origin) SendToModality(id, 'IODEEP') end"
    if not shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin"):
        pytest.skip("Orthanc is not installed")
    return orthanc(folder, move_destinations=[("IODEEP", port)], routing=script)
