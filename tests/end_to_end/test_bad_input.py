"""What goes wrong in hospitals: each ends in one line that says what to do, a non-zero code, and nothing half-written."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from iodeep.card import read_card
from iodeep.errors import ExitCode
from iodeep.model_object import pack_model
from iodeep.ports import Level
from pacs_bridge import open_archive
from tests.end_to_end.conftest import HEAD, ROOT, CommandLine, Ended, FilledArchive
from tests.networks import tiny_segmenter
from tests.unit.model_object.legacy_writer import torch_archive, write_legacy
from tests.unit.model_object.models import flip_byte

CARD = ROOT / "sample_data" / "brain" / "card.yaml"
NETWORK = ROOT / "sample_data" / "brain" / "brain-extraction.onnx"


def explains(ended: Ended, code: ExitCode, *words: str) -> None:
    """One line on stderr with the words, the right exit code, and no traceback."""
    assert ended.code == code, ended
    lines = [line for line in ended.err.splitlines() if line.strip()]
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in ended.err
    for word in words:
        assert word.lower() in lines[0].lower(), lines[0]


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A copy of the head series that a test may spoil."""
    return Path(shutil.copytree(HEAD, tmp_path / "head"))


@pytest.fixture
def brain(archive: FilledArchive, tmp_path: Path) -> Path:
    """A copy of the packed brain model that a test may spoil."""
    return Path(shutil.copytree(archive.objects["BRAINMASK"], tmp_path / "brain"))


@pytest.fixture
def nothing_written(archive: FilledArchive, tmp_path: Path) -> Iterator[Path]:
    """An output folder for the test; afterwards it holds nothing, and neither does the archive hold more than before."""
    out = tmp_path / "out"
    before = _held(archive)
    yield out
    assert not out.exists() or not list(out.rglob("*"))
    assert _held(archive) == before


def _held(archive: FilledArchive) -> set[str]:
    with open_archive(archive.settings) as opened:
        return {
            row["SeriesInstanceUID"]
            for study in opened.find(Level.STUDY, {})
            for row in opened.find(
                Level.SERIES, {"StudyInstanceUID": study["StudyInstanceUID"]}, ("SeriesInstanceUID",)
            )
        }


def _part(folder: Path) -> Path:
    return max(folder.rglob("*.dcm"), key=lambda path: path.stat().st_size)


# --- series ---------------------------------------------------------------------------------------------------------


def test_a_truncated_slice(iodeep: CommandLine, archive: FilledArchive, head: Path, nothing_written: Path) -> None:
    path = head / "brain_010.dcm"
    path.write_bytes(path.read_bytes()[:60_000])

    ended = iodeep("run", head, "--pacs", archive.url, "--out", nothing_written)

    explains(ended, ExitCode.BAD_INPUT, "brain_010.dcm", "truncated")


def test_a_wrong_vr(iodeep: CommandLine, archive: FilledArchive, head: Path, nothing_written: Path) -> None:
    path = head / "brain_003.dcm"
    raw = path.read_bytes()
    position = raw.index(b"\x20\x00\x32\x00DS")
    path.write_bytes(raw[: position + 4] + b"SQ" + raw[position + 6 :])

    ended = iodeep("run", head, "--pacs", archive.url, "--out", nothing_written)

    assert ended.code in (ExitCode.BAD_INPUT, ExitCode.REFUSED)
    explains(ended, ExitCode(ended.code), "brain_003.dcm")


def test_huge_declared_sizes(iodeep: CommandLine, archive: FilledArchive, head: Path, nothing_written: Path) -> None:
    rows_and_columns = b"\x28\x00\x10\x00US\x02\x00%b\x28\x00\x11\x00US\x02\x00%b"
    for path in head.iterdir():
        raw = path.read_bytes()
        assert rows_and_columns % (b"\x00\x01", b"\x00\x01") in raw
        huge = rows_and_columns % (b"\xff\xff", b"\xff\xff")
        path.write_bytes(raw.replace(rows_and_columns % (b"\x00\x01", b"\x00\x01"), huge))

    ended = iodeep("run", head, "--pacs", archive.url, "--out", nothing_written)

    explains(ended, ExitCode.BAD_INPUT, "65535")


def test_a_missing_slice(iodeep: CommandLine, archive: FilledArchive, head: Path, nothing_written: Path) -> None:
    (head / "brain_010.dcm").unlink()

    ended = iodeep("run", head, "--pacs", archive.url, "--out", nothing_written)

    explains(ended, ExitCode.REFUSED, "missing")


def test_a_folder_without_images(iodeep: CommandLine, archive: FilledArchive, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("no image")

    explains(iodeep("run", tmp_path / "letters", "--pacs", archive.url), ExitCode.BAD_INPUT, "no DICOM image")


def test_a_uid_that_the_archive_does_not_hold(iodeep: CommandLine, archive: FilledArchive) -> None:
    explains(iodeep("run", "1.2.3.4.5", "--pacs", archive.url), ExitCode.BAD_INPUT, "1.2.3.4.5", "Check the UID")


def test_a_model_that_does_not_fit_is_not_forced(
    iodeep: CommandLine, archive: FilledArchive, nothing_written: Path
) -> None:
    ended = iodeep("run", HEAD, "--pacs", archive.url, "--model", "Liver in CT", "--out", nothing_written)

    explains(ended, ExitCode.REFUSED, "CT")


# --- model objects ---------------------------------------------------------------------------------------------------


def test_an_altered_payload(iodeep: CommandLine, brain: Path) -> None:
    part = _part(brain)
    flip_byte(part, part.stat().st_size - 1000)

    ended = iodeep("verify", brain)

    assert ended.code == ExitCode.NOT_TRUSTED
    assert "Do not run this model" in ended.out
    assert "altered" in ended.out or "digest" in ended.out.lower()


def test_a_part_missing(iodeep: CommandLine, brain: Path) -> None:
    _part(brain).unlink()

    ended = iodeep("verify", brain)

    assert ended.code == ExitCode.NOT_TRUSTED
    assert "Missing: part 1 of 1 of brain-extraction.onnx" in ended.out


def test_a_descriptor_missing(iodeep: CommandLine, brain: Path) -> None:
    part = _part(brain)
    for path in brain.rglob("*.dcm"):
        if path != part:
            path.unlink()

    explains(iodeep("show", brain), ExitCode.NOT_TRUSTED, "descriptor is missing")


def test_a_payload_altered_inside_the_archive(
    iodeep: CommandLine, archive: FilledArchive, brain: Path, tmp_path: Path
) -> None:
    part = _part(brain)
    flip_byte(part, part.stat().st_size - 5000)
    from pacs_bridge.embedded import embedded_archive

    with embedded_archive(tmp_path / "other") as settings:
        with open_archive(settings) as opened:
            opened.store([*brain.rglob("*.dcm"), *HEAD.iterdir()])
        url = f"dicom://{settings.aet}@{settings.host}:{settings.port}"
        ended = iodeep("run", HEAD, "--pacs", url, "--out", tmp_path / "out")

    explains(ended, ExitCode.NOT_TRUSTED, "brain-extraction.onnx")
    assert not (tmp_path / "out").exists()


def test_the_published_prior_art_is_explained_and_refused(iodeep: CommandLine, tmp_path: Path) -> None:
    write_legacy(tmp_path / "legacy.dcm", torch_archive())

    explains(iodeep("verify", tmp_path / "legacy.dcm"), ExitCode.NOT_TRUSTED, "pickle")


# --- networks and cards ----------------------------------------------------------------------------------------------


def _spoiled_network(path: Path, spoil: Callable[[onnx.ModelProto], None]) -> Path:
    network = onnx.load(tiny_segmenter(path, input_tensor="image", output_tensor="probabilities"))
    spoil(network)
    onnx.save(network, path)
    return path


def _unknown_operator(network: onnx.ModelProto) -> None:
    network.graph.node[0].op_type = "RunShell"


def _foreign_domain(network: onnx.ModelProto) -> None:
    network.graph.node[0].domain = "com.example"
    network.opset_import.append(helper.make_opsetid("com.example", 1))


def _external_path(network: onnx.ModelProto) -> None:
    weights = network.graph.initializer[0]
    weights.data_location = TensorProto.EXTERNAL
    weights.ClearField("raw_data")
    weights.external_data.add(key="location", value="../../etc/passwd")


def _huge_weights(network: onnx.ModelProto) -> None:
    network.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_unknown_operator, ("RunShell",)),
        (_foreign_domain, ("com.example",)),
        (_external_path, ("../../etc/passwd",)),
        (_huge_weights, ("threshold",)),
    ],
)
def test_a_network_that_may_not_be_loaded(
    iodeep: CommandLine,
    tmp_path: Path,
    spoil: Callable[[onnx.ModelProto], None],
    words: tuple[str, ...],
) -> None:
    network = _spoiled_network(tmp_path / "brain-extraction.onnx", spoil)

    explains(iodeep("pack", network, "--card", CARD, "--out", tmp_path / "out"), ExitCode.BAD_INPUT, *words)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_network(iodeep: CommandLine, tmp_path: Path) -> None:
    network = tmp_path / "brain-extraction.onnx"
    network.write_bytes(NETWORK.read_bytes()[:1_000_000])

    ended = iodeep("pack", network, "--card", CARD, "--out", tmp_path / "out")

    explains(ended, ExitCode.BAD_INPUT, "brain-extraction.onnx")
    assert not (tmp_path / "out").exists()


def _nan(network: onnx.ModelProto) -> None:
    """Divide zero by zero, which the structure doesn't show."""
    graph = network.graph
    graph.node[-1].output[0] = "before"
    graph.node.append(helper.make_node("Sub", ["before", "before"], ["zero"]))
    graph.node.append(helper.make_node("Div", ["zero", "zero"], ["probabilities"]))


def _wrong_shape(network: onnx.ModelProto) -> None:
    graph = network.graph
    graph.node[-1].output[0] = "before"
    graph.initializer.append(helper.make_tensor("half", TensorProto.FLOAT, [5], [1.0, 1.0, 0.5, 0.5, 0.5]))
    graph.node.append(helper.make_node("Resize", ["before", "", "half"], ["probabilities"], mode="nearest"))


@pytest.mark.parametrize(("spoil", "word"), [(_nan, "NaN"), (_wrong_shape, "shape")])
def test_a_network_that_gives_what_cannot_be_used(
    iodeep: CommandLine, tmp_path: Path, spoil: Callable[[onnx.ModelProto], None], word: str
) -> None:
    network = _spoiled_network(tmp_path / "brain-extraction.onnx", spoil)

    ended = iodeep("pack", network, "--card", CARD, "--out", tmp_path / "out")

    explains(ended, ExitCode.INFERENCE, word)
    assert not (tmp_path / "out").exists()


def test_nan_in_a_stored_model_writes_nothing_to_the_archive(iodeep: CommandLine, tmp_path: Path) -> None:
    """The network was made to look well when it was packed: its self-test isn't asked in a run, its output is."""
    from pacs_bridge.embedded import embedded_archive

    network = _spoiled_network(tmp_path / "brain-extraction.onnx", _nan)
    packed = pack_model(read_card(CARD), {"brain-extraction.onnx": network}, tmp_path / "object")
    with embedded_archive(tmp_path / "archive") as settings:
        with open_archive(settings) as opened:
            opened.store([*packed.files, *HEAD.iterdir()])
        url = f"dicom://{settings.aet}@{settings.host}:{settings.port}"
        ended = iodeep("run", HEAD, "--pacs", url, "--out", tmp_path / "out")
        with open_archive(settings) as opened:
            studies = opened.find(Level.STUDY, {})
            series = [s for row in studies for s in opened.find(Level.SERIES, {"StudyInstanceUID": row["StudyInstanceUID"]})]  # fmt: skip

    explains(ended, ExitCode.INFERENCE, "NaN")
    assert len(series) == 3  # the model's two, and the patient's
    assert not (tmp_path / "out").exists()


def test_a_bad_card(iodeep: CommandLine, tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text(CARD.read_text().replace("[HEAD]", "[HAED]"))

    ended = iodeep("pack", NETWORK, "--card", card, "--out", tmp_path / "out")

    explains(ended, ExitCode.BAD_INPUT, "target", "HAED", "Annex L")
    assert not (tmp_path / "out").exists()


def test_a_network_that_is_not_there(iodeep: CommandLine, tmp_path: Path) -> None:
    ended = iodeep("pack", tmp_path / "none.onnx", "--card", CARD, "--out", tmp_path / "out")

    explains(ended, ExitCode.BAD_INPUT, "does not exist")


# --- archives --------------------------------------------------------------------------------------------------------


def test_a_pacs_that_is_down(iodeep: CommandLine, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"dicom://ARCHIVE@127.0.0.1:{taken.getsockname()[1]}"

        explains(iodeep("run", HEAD, "--pacs", url, "--out", tmp_path / "out"), ExitCode.ARCHIVE, "ARCHIVE")
    assert not (tmp_path / "out").exists()


def test_an_association_rejected_for_a_wrong_called_title(iodeep: CommandLine, archive: FilledArchive) -> None:
    """Orthanc and dcmqrscp accept any title or theirs only; a server that insists is made here."""
    from pynetdicom import AE
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

    strict = AE(ae_title="MAIN")
    strict.require_called_aet = True
    strict.add_supported_context(Verification)
    server = strict.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    try:
        url = f"dicom://MIAN@127.0.0.1:{server.server_address[1]}"
        explains(iodeep("echo", "--pacs", url), ExitCode.ARCHIVE, "MIAN")
    finally:
        server.shutdown()


def test_a_file_that_is_not_dicom(iodeep: CommandLine, archive: FilledArchive, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(b"not DICOM")

    explains(iodeep("store", path, "--to", archive.url), ExitCode.BAD_INPUT, "not a DICOM file")


def test_no_pacs_and_an_unknown_pacs(iodeep: CommandLine) -> None:
    explains(iodeep("models"), ExitCode.SETTINGS, "--pacs")
    explains(iodeep("models", "--pacs", "nowhere"), ExitCode.SETTINGS, "nowhere")
    explains(iodeep("models", "--pacs", "dicom://host:104"), ExitCode.SETTINGS, "dicom://AET@host:port")


def test_a_wrong_settings_file(iodeep: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "iodeep.toml").write_text('[pacs.main]\nhost = "x"\nport = "many"\naet = "A"\n')

    explains(iodeep("echo"), ExitCode.SETTINGS, "iodeep.toml", "pacs.main.port")


# --- this machine ----------------------------------------------------------------------------------------------------

_ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=2m none "$1"
shift
exec "$@"
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """Packing 8.5 MB onto a disk of 2 MB, in a mount namespace of its own."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace")
    packing = [sys.executable, "-m", "iodeep", "pack", str(NETWORK), "--card", str(CARD), "--out", str(small / "out")]
    after = f"{' '.join(packing)}; code=$?; ls -A {small}; exit $code"

    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", _ON_A_SMALL_DISK, "sh", str(small), "sh", "-c", after],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.strip() == ""  # nothing half-written stays
    explains(Ended(ended.returncode, ended.stdout, ended.stderr), ExitCode.LOCAL_STORAGE, "space")


def test_a_page_that_cannot_be_written(iodeep: CommandLine, tmp_path: Path) -> None:
    table = tmp_path / "series.csv"
    table.write_text("Modality,BodyPartExamined,StudyDescription,SeriesDescription\nMR,HEAD,,\n")
    page = tmp_path / "nowhere" / "plan.html"

    ended = iodeep("select", "--table", table, "--models", CARD.parent, "--page", page)

    explains(ended, ExitCode.LOCAL_STORAGE, "plan.html", "cannot be written")
    assert not page.parent.exists()


def test_a_time_limit(iodeep: CommandLine, archive: FilledArchive, tmp_path: Path) -> None:
    (tmp_path / "iodeep.toml").write_text("[run]\nseconds = 0.05\n")

    ended = iodeep("run", HEAD, "--pacs", archive.url, "--out", tmp_path / "out")

    explains(ended, ExitCode.INFERENCE, "seconds")
    assert not (tmp_path / "out").exists()
