"""The published prior art's object is recognised, explained and never run."""

from __future__ import annotations

import pickle
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from iodeep.errors import ObjectError
from iodeep.model_object import ObjectKind, explain_legacy, read_descriptor, recognise
from iodeep.model_object.pickle_imports import imports_of_pickles

from .legacy_writer import ARCHITECTURE, STATE_DICT_PICKLE, evil_pickle, torch_archive, write_legacy
from .models import ROOT, edit, pack_ensemble


@pytest.mark.parametrize("preamble", [True, False])
def test_it_is_recognised_with_and_without_a_preamble(tmp_path: Path, preamble: bool) -> None:
    uid = write_legacy(tmp_path / "net.dcm", torch_archive(), preamble=preamble)

    found = recognise(tmp_path / "net.dcm")

    assert (found.kind, found.sop_instance_uid) == (ObjectKind.LEGACY, uid)


def test_it_is_explained_in_sentences(tmp_path: Path) -> None:
    uid = write_legacy(tmp_path / "net.dcm", torch_archive())

    model = explain_legacy(tmp_path / "net.dcm")

    assert (model.name, model.uid, model.modality, model.body_part) == ("unet_mri", uid, "MR", "HEAD")
    assert model.architecture == ARCHITECTURE
    assert model.weights_bytes == len(torch_archive())
    assert model.imports == ("collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.FloatStorage")
    text = " ".join(model.sentences)
    for expected in (
        "'unet_mri', for MR of HEAD",
        "refused to run",
        "torch.FloatStorage",
        "share one UID",
        "iodeep pack",
    ):
        assert expected in text


def test_it_is_no_descriptor_and_no_part(tmp_path: Path) -> None:
    write_legacy(tmp_path / "net.dcm", torch_archive())

    with pytest.raises(ObjectError, match="not the descriptor of a model"):
        read_descriptor(tmp_path / "net.dcm")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_of_its_pickle_runs_but_its_imports_are_named(tmp_path: Path, protocol: int, zipped: bool) -> None:
    trace = tmp_path / "trace"
    evil = evil_pickle(trace, protocol)
    write_legacy(tmp_path / "net.dcm", torch_archive(evil) if zipped else evil)

    model = explain_legacy(tmp_path / "net.dcm")

    assert not trace.exists()
    pickle.loads(evil).close()
    assert trace.exists(), "the pickle was harmless, so the test showed nothing"
    if zipped or protocol >= 2:  # below 2 a bare pickle has no signature to be known by
        assert model.imports in (("io.open",), ("_io.open",), ("__builtin__.open",))


def test_a_name_that_the_pickle_recalls_from_its_memo_is_followed() -> None:
    class Twice:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return max, ("builtins", "max", print)

    assert set(imports_of_pickles(BytesIO(pickle.dumps(Twice(), protocol=4)))) == {"builtins.max", "builtins.print"}


def test_torchs_old_form_of_several_pickles_is_read_to_its_end() -> None:
    first = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)

    imports = imports_of_pickles(BytesIO(first + STATE_DICT_PICKLE + b"\0" * 64))

    assert "torch._utils._rebuild_tensor_v2" in imports


@pytest.mark.parametrize(
    ("weights", "form"),
    [(b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"), (b"?" * 100, "something unknown")],
)
def test_other_weights_are_named_by_their_signature(tmp_path: Path, weights: bytes, form: str) -> None:
    write_legacy(tmp_path / "net.dcm", weights)

    assert explain_legacy(tmp_path / "net.dcm").weights_format == form


@pytest.mark.parametrize("length", range(63, 70))
def test_base64_of_any_length_has_its_true_length(tmp_path: Path, length: int) -> None:
    write_legacy(tmp_path / "net.dcm", b"\x80" * length)

    assert explain_legacy(tmp_path / "net.dcm").weights_bytes == length


def test_weights_that_are_no_base64_are_explained_all_the_same(tmp_path: Path) -> None:
    write_legacy(tmp_path / "net.dcm", torch_archive())
    content = (tmp_path / "net.dcm").read_bytes()
    place = content.index(b"UEsDB")
    (tmp_path / "net.dcm").write_bytes(content[:place] + b"****" + content[place + 4 :])

    assert explain_legacy(tmp_path / "net.dcm").weights_format == "something that could not be decoded"


def test_a_zip_bomb_in_its_place_is_read_no_further_than_allowed(tmp_path: Path) -> None:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"X\x04\x00\x00\x00bombq\x00" * (1 << 20))
    write_legacy(tmp_path / "net.dcm", stream.getvalue())

    assert explain_legacy(tmp_path / "net.dcm").imports == ()


def test_models_images_and_other_vendors_group_0017_are_not_taken_for_it(tmp_path: Path) -> None:
    packed = pack_ensemble(tmp_path)
    edit(packed.descriptor, add_vendor_block)

    for path in (*packed.files, ROOT / "sample_data" / "mr-head" / "brain_001.dcm"):
        assert recognise(path).kind is not ObjectKind.LEGACY
        with pytest.raises(ObjectError, match="prior art"):
            explain_legacy(path)


def add_vendor_block(dataset: Dataset) -> None:
    for slot in (0x16, 0x18):
        dataset.add_new((0x0017, slot), "LO", f"VENDOR {slot}")
    dataset.add_new((0x0017, 0x1801), "LO", "theirs")
