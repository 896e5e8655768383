"""A model's self-test counts for one runtime, is done once for it, and says in a sentence why a model is not run here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from iodeep.errors import InferenceError, SelfTestError
from iodeep.inference import Engine
from iodeep.inference.fingerprint import RuntimeFacts, cpu_features, gpu_device
from iodeep.inference.onnx_runtime import OnnxRuntime, offered_providers
from iodeep.inference.providers import PROVIDERS, offered
from iodeep.model_object import ModelDescriptor, SelfTest, pack_model, read_descriptor
from iodeep.service.jobs.database import database_engine, make_tables
from iodeep.service.jobs.self_tests import SelfTestTable
from iodeep.service.packing import pack_network
from iodeep.service.self_testing import SelfTestResult, need_self_test, self_tested
from iodeep.settings import RunSettings
from iodeep.terms.providers import ProviderName
from tests.networks import tiny_segmenter
from tests.unit.inference.helpers import NETWORK, card

Model = tuple[ModelDescriptor, dict[str, Path]]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(RunSettings(threads=1)) as engine:
        yield engine


@pytest.fixture(scope="module")
def model(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("model")
    network = tiny_segmenter(folder / NETWORK)
    packed = pack_network(network, card(), folder / "object", engine).model
    return read_descriptor(packed.descriptor), {NETWORK: network}


def with_test(model: Model, folder: Path, test: SelfTest | None) -> Model:
    """The same model with another self-test."""
    descriptor, files = model
    packed = pack_model(descriptor.card, files, folder / "other", self_test=test)
    return read_descriptor(packed.descriptor), files


@pytest.fixture
def book(tmp_path: Path) -> Iterator[SelfTestTable]:
    engine = database_engine(f"sqlite:///{tmp_path}/jobs.sqlite")
    make_tables(engine)
    yield SelfTestTable(engine)
    engine.dispose()


@pytest.fixture
def disagreeing(model: Model, tmp_path: Path) -> Model:
    """A model that says the opposite of what was recorded."""
    test = model[0].self_test
    assert test is not None
    assert test.labels is not None
    return with_test(model, tmp_path, replace(test, labels=(1 - test.labels).astype(np.uint8)))


def test_a_model_that_does_what_it_did_passes_and_its_runtime_is_told(model: Model, engine: Engine) -> None:
    result = self_tested(*model, engine)

    assert result.passed
    assert result.dice == (1.0,)
    assert result.runtime.provider == "cpu"
    assert result.runtime.runtime.startswith("onnxruntime 1.")
    assert "voxel by voxel" in result.sentence


def test_one_that_does_not_is_not_run_here_and_told_why(
    disagreeing: Model, engine: Engine, book: SelfTestTable
) -> None:
    with pytest.raises(SelfTestError, match=r"the self-test of .* fails on") as caught:
        need_self_test(book, *disagreeing, engine)

    assert "Dice coefficient of 0.0000" in str(caught.value.found)
    assert str(caught.value.found).startswith("with onnxruntime")
    assert [each.manifest_sha256 for each in book.failed()] == [disagreeing[0].identity.manifest_sha256]


def test_a_model_without_a_self_test_is_not_run(
    model: Model, engine: Engine, book: SelfTestTable, tmp_path: Path
) -> None:
    with pytest.raises(SelfTestError, match="fails") as caught:
        need_self_test(book, *with_test(model, tmp_path, None), engine)
    assert "carries no self-test" in str(caught.value)


def test_a_network_that_cannot_be_run_failed_its_self_test(model: Model, engine: Engine, tmp_path: Path) -> None:
    descriptor, _ = model
    (tmp_path / NETWORK).write_bytes(b"no network")

    result = self_tested(descriptor, {NETWORK: tmp_path / NETWORK}, engine)

    assert not result.passed
    assert "could not be run" in result.sentence


def test_a_mean_probability_that_was_recorded_is_asked_for(model: Model, engine: Engine, tmp_path: Path) -> None:
    test = model[0].self_test
    assert test is not None
    prediction = engine.run(model[0].card, model[1], dict(test.inputs), probabilities=True)
    assert prediction.segmentation is not None
    assert prediction.segmentation.probabilities is not None
    mean = float(np.mean(prediction.segmentation.probabilities.max(axis=0), dtype=np.float64))

    right = self_tested(*with_test(model, tmp_path, replace(test, mean_foreground_probability=mean)), engine)

    assert right.passed
    assert right.largest_difference is not None
    assert right.largest_difference < 1e-6


class Counting(Engine):
    """How often a network was run."""

    runs = 0

    def run(self, *given: object, **options: object):  # type: ignore[no-untyped-def]  # whatever the engine's is
        self.runs += 1
        return super().run(*given, **options)  # type: ignore[arg-type]  # the same


def test_it_is_done_once_for_a_runtime_and_anew_for_another(model: Model, book: SelfTestTable) -> None:
    with Counting(RunSettings(threads=1)) as engine, Counting(RunSettings(threads=1, provider="cpu-plain")) as other:
        need_self_test(book, *model, engine)
        need_self_test(book, *model, engine)
        assert book.find(model[0].identity.manifest_sha256, other.runtime.fingerprint) is None
        need_self_test(book, *model, other)

        assert (engine.runs, other.runs) == (1, 1)
        assert engine.runtime.fingerprint != other.runtime.fingerprint
        assert {each.runtime.provider for each in book.all()} == {"cpu", "cpu-plain"}


def test_a_failure_is_remembered_until_it_is_tested_again(disagreeing: Model, book: SelfTestTable) -> None:
    with Counting(RunSettings(threads=1)) as engine:
        for _ in range(2):
            with pytest.raises(SelfTestError):
                need_self_test(book, *disagreeing, engine)
        assert engine.runs == 1
        book.keep(replace(book.failed()[0], passed=True, when=datetime.now(UTC)))
        assert need_self_test(book, *disagreeing, engine).passed
        assert not book.failed()


def result(runtime: RuntimeFacts, *, passed: bool, host: str = "a", when: int = 0) -> SelfTestResult:
    moment = datetime(2026, 1, 1, 0, when, tzinfo=UTC)
    return SelfTestResult(
        "f" * 64, "Brain 1.0.0", "1.2", runtime, passed, (0.5, 1.0), 0.25, 1.5, ("It.",), moment, host
    )


FACTS = RuntimeFacts("onnxruntime 1.0", "cpu", "", "fp32", "0.1", "2.0", "x86_64", "avx avx2")


def test_what_is_kept_comes_back_as_it_was_and_the_last_of_a_host_counts(book: SelfTestTable) -> None:
    upgraded = replace(FACTS, runtime="onnxruntime 2.0")
    book.keep(result(FACTS, passed=False))
    assert book.find("f" * 64, FACTS.fingerprint) == result(FACTS, passed=False)
    assert book.failed() == [result(FACTS, passed=False)]

    book.keep(result(upgraded, passed=True, when=1))
    assert book.failed() == []
    book.keep(result(replace(FACTS, features="avx"), passed=False, host="b", when=2))
    assert [each.host for each in book.failed()] == ["b"]


@pytest.mark.parametrize("field", list(RuntimeFacts.__dataclass_fields__))
def test_every_fact_changes_the_fingerprint(field: str) -> None:
    assert replace(FACTS, **{field: "other"}).fingerprint != FACTS.fingerprint


def test_processors_and_graphics_cards_are_read_from_where_linux_tells(tmp_path: Path) -> None:
    intel, arm = tmp_path / "intel", tmp_path / "arm"
    intel.write_text("processor\t: 0\nflags\t\t: fpu avx2 sse4_1 avx512f nonsense\n\nprocessor: 1\nflags: fpu\n")
    arm.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n")
    card_folder = tmp_path / "nvidia" / "gpus" / "0000:01:00.0"
    card_folder.mkdir(parents=True)
    (card_folder / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 12\n")
    (tmp_path / "nvidia" / "version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build\nGCC version: 11.4.0\n"
    )

    assert cpu_features(intel) == ["avx2", "avx512f", "sse4_1"]
    assert cpu_features(arm) == ["asimd", "asimddp", "i8mm"]
    assert cpu_features(tmp_path / "none") == []
    assert gpu_device(tmp_path / "nvidia") == "NVIDIA H200 driver 570.133.20"
    assert gpu_device(tmp_path / "none") == ""


def test_every_name_of_a_provider_has_one_and_those_of_this_runtime_are_offered() -> None:
    assert set(PROVIDERS) == set(ProviderName)
    assert ProviderName.CPU in offered_providers()
    assert ProviderName.CPU_PLAIN in offered_providers()
    assert offered(["CUDAExecutionProvider", "SomethingElse"]) == (ProviderName.CUDA,)


def test_a_provider_that_is_not_here_is_told_and_never_replaced_by_another(model: Model, tmp_path: Path) -> None:
    missing = next(each for each in (ProviderName.CUDA, ProviderName.OPENVINO) if each not in offered_providers())

    with Engine(RunSettings(threads=1, provider=missing)) as engine:
        assert engine.runtime.provider == missing.value
        test = model[0].self_test
        assert test is not None
        with pytest.raises(InferenceError, match=r"cannot be used here|could not be loaded"):
            engine.run(model[0].card, model[1], dict(test.inputs))
        assert not self_tested(*model, engine).passed


def test_a_result_says_what_it_was_computed_with() -> None:
    assert OnnxRuntime(1).name.endswith("CPUExecutionProvider fp32")
    plain = OnnxRuntime(1, PROVIDERS[ProviderName.CPU_PLAIN])
    assert plain.name.endswith("CPUExecutionProvider fp32 without graph optimisation")
