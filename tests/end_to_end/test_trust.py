"""Signed, stored, judged and run, through the command line; and each way to break that, with the sentence that tells of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from iodeep.card import ModelCard
from iodeep.errors import ExitCode, NotTrustedError
from iodeep.inference import Engine
from iodeep.model_object import private_block as block
from iodeep.model_object import read_descriptor
from iodeep.model_object.manifest import canonical_json
from iodeep.ports import Wanted
from iodeep.results import SegKind
from iodeep.service.choosing import Job, choice_of, selected
from iodeep.service.jobs import JobRequest, Step
from iodeep.service.jobs.steps import JobSteps
from iodeep.service.running import run_choice
from iodeep.service.selecting import site_policy
from iodeep.service.subjects import subject_of
from iodeep.service.timing import Stopwatch
from iodeep.settings import RunSettings, Settings, settings_of_document
from pacs_bridge import open_archive
from tests.end_to_end.conftest import CommandLine, FilledArchive
from tests.end_to_end.test_job_steps import steps_in
from tests.unit.model_object.models import edit

pytestmark = pytest.mark.slow

HEAD_SERIES = "0.0.0.0.3.8811.2.20010413115754.12432"
HEAD_STUDY = "0.0.0.0.2.8811.20010413115754.12432"


@dataclass(frozen=True)
class Site:
    """A site with an archive, a key that it trusts, and settings that can be written anew."""

    folder: Path
    archive: FilledArchive
    key: Path
    iodeep: CommandLine

    @property
    def config(self) -> Path:
        return self.folder / "iodeep.toml"

    @property
    def model(self) -> Path:
        """The folder of the brain model's object."""
        return self.folder / "object"

    @property
    def study(self) -> str:
        return read_descriptor(self.model / "descriptor.dcm").study_instance_uid

    def trust(self, key: str = "", trust: str = "", more: str = "") -> None:
        """Write the settings."""
        self.config.write_text(
            f'[pacs.main]\nhost = "{self.archive.settings.host}"\nport = {self.archive.settings.port}\n'
            f'aet = "{self.archive.settings.aet}"\n\n[serve]\ndata = "{self.folder / "data"}"\n\n[trust]\nunsigned = "refuse"\nresearch = true\n{trust}\n\n'
            f'[[trust.keys]]\nname = "the developer"\nfile = "{self.key.with_suffix(".pub.pem")}"\nroles = ["developer"]\n'
            f"{key}\n\n{more}\n\n[lifecycle]\nrequired = false\n",
            encoding="utf-8",
        )

    def settings(self) -> Settings:
        return settings_of_document(tomllib.loads(self.config.read_text(encoding="utf-8")), "test")

    def sign(self, *options: object, key: Path | None = None) -> None:
        """Sign the stored model."""
        arguments = ("--key", key or self.key, "--role", "developer", "--config", self.config, *options)
        ended = self.iodeep("sign", self.study, *arguments)
        assert ended.code == 0, ended.err

    def refusal(self) -> str:
        """Why `iodeep run` does not run the model."""
        ended = self.iodeep("run", HEAD_SERIES, "--config", self.config)
        assert ended.code in (ExitCode.REFUSED, ExitCode.NOT_TRUSTED), ended.out + ended.err
        explained = self.iodeep("select", HEAD_SERIES, "--explain", "--json", "--config", self.config)
        assert explained.code == ExitCode.REFUSED
        (model,) = json.loads(explained.out)["candidates"]
        return " ".join(each["sentence"] for each in model["requirements"] if not each["passed"])

    def replace_in_archive(self, change: Callable[[Dataset], object], *, series_kind: int) -> None:
        """Alter the instances of a kind of series in the archive, under their own UIDs."""
        with open_archive(self.archive.settings) as opened:
            into = self.folder / "taken"
            into.mkdir()
            files = opened.fetch(Wanted(self.study), into)
            of_kind = [path for path in files if int(dcmread(path).SeriesNumber) // 1_000_000 == series_kind]
            for path in of_kind[:1]:
                edit(path, change)
            opened.store(of_kind[:1])
            shutil.rmtree(into)


@pytest.fixture
def site(iodeep: CommandLine, fresh_archive: FilledArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("IODEEP_KEY_PASSPHRASE", "correct horse battery staple")
    key = tmp_path / "developer.pem"
    assert iodeep("signing-key", "new", "--out", key).code == 0
    shutil.copytree(fresh_archive.objects["BRAINMASK"], tmp_path / "object")
    made = Site(tmp_path, fresh_archive, key, iodeep)
    made.trust()
    return made


def another(value: Any) -> Any:
    """The value, changed in one place."""
    if isinstance(value, bytes):
        return value[:60] + bytes([value[60] ^ 1]) + value[61:]
    return value[:-1] + ("1" if value[-1] != "1" else "2")


def test_a_model_is_run_once_somebody_whom_the_site_trusts_has_signed_it(site: Site) -> None:
    assert "bears no signature as developer" in site.refusal()
    (listed,) = json.loads(site.iodeep("models", "--config", site.config, "--json").out)["models"]
    assert "bears no signature" in listed["problem"]

    site.sign()
    verified = site.iodeep("verify", site.study, "--config", site.config)
    ended = site.iodeep("run", HEAD_SERIES, "--config", site.config, "--json")

    assert verified.code == 0, verified.out
    assert "signed as developer by the developer" in " ".join(verified.out.split())
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    assert report["stored"]
    assert report["seconds"]["ask who signed it"] < 5
    (listed,) = json.loads(site.iodeep("models", "--config", site.config, "--json").out)["models"]
    assert listed["problem"] is None


def test_on_the_command_line_an_unsigned_model_runs_with_a_note(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace('unsigned = "refuse"\n', ""))

    ended = site.iodeep("run", HEAD_SERIES, "--config", site.config, "--dry-run", "--json")

    assert ended.code == 0, ended.err
    assert "bears no signature as developer" in json.loads(ended.out)["decision"]["notes"][-1]


def test_keys_and_settings_refuse_with_a_sentence_each(site: Site) -> None:
    site.sign("--until", f"{datetime.now(UTC):%Y-%m-%d}")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    for key, trust, words in (
        (f"until = {yesterday}", "", "was trusted until"),
        ('developers = ["Somebody"]', "", "is not trusted with models of"),
        ('modalities = ["CT"]', "", "is not trusted with MR models"),
        ("", 'roles = ["hospital"]', "no signature that counts as hospital"),
        ("", "minimum_cases = 1000000", "test cases"),
        ("", 'licences = ["Nobody-1.0"]', "licence"),
    ):
        site.trust(key, trust)
        assert words in site.refusal(), words


def test_a_key_that_nobody_trusts_is_refused(site: Site) -> None:
    stranger = site.folder / "stranger.pem"
    assert site.iodeep("signing-key", "new", "--out", stranger).code == 0
    site.sign(key=stranger)

    assert "by a key that this site does not trust" in site.refusal()


@pytest.mark.parametrize(
    ("element", "words"),
    [(block.SIGNATURE, "does not hold"), (block.STATEMENT, "does not hold"), (block.SIGNATURE_KEY, "does not trust")],
    ids=["signature", "statement", "key"],
)
def test_an_altered_signature_is_refused(site: Site, element: block.Element, words: str) -> None:
    site.sign()

    def alter(dataset: Dataset) -> None:
        dataset[element.tag()].value = another(dataset[element.tag()].value)

    site.replace_in_archive(alter, series_kind=3)

    assert words in site.refusal()


def test_an_altered_tag_is_refused(site: Site) -> None:
    site.sign()
    site.replace_in_archive(lambda dataset: setattr(dataset, "BodyPartExamined", "KNEE"), series_kind=0)

    assert "BodyPartExamined of" in site.refusal()


def test_a_card_that_was_changed_with_its_digests_is_refused_by_its_signature(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write a whole object can make its digests hold. The signature is not for it."""
    site.sign()

    def change(dataset: Dataset) -> None:
        manifest = json.loads(bytes(dataset[block.MANIFEST.tag()].value).rstrip(b"\0"))
        manifest["card"]["intended_use"]["purpose"] = "Anything at all."
        encoded = canonical_json(manifest)
        dataset[block.MANIFEST.tag()].value = encoded + b"\0" * (len(encoded) % 2)
        dataset[block.MANIFEST_SHA256.tag()].value = hashlib.sha256(encoded).hexdigest()

    site.replace_in_archive(change, series_kind=0)
    monkeypatch.setenv("IODEEP_CACHE", str(tmp_path / "another-cache"))

    assert "for another model, or the manifest was replaced" in site.refusal()


def test_an_altered_part_is_refused_before_it_is_loaded(site: Site) -> None:
    site.sign()
    site.replace_in_archive(
        lambda dataset: setattr(dataset[block.PAYLOAD.tag()], "value", another(dataset[block.PAYLOAD.tag()].value)),
        series_kind=1,
    )

    ended = site.iodeep("run", HEAD_SERIES, "--config", site.config)

    assert ended.code == ExitCode.NOT_TRUSTED
    assert "was altered" in " ".join(ended.err.split())


def revoke(site: Site, *what: str) -> None:
    """Sign a list of what is withdrawn."""
    options = ("--list", site.folder / "revoked.json", "--key", site.key, "--reason", "lost on a train")
    assert site.iodeep("revoke", *what, *options).code == 0


def revocable(site: Site) -> None:
    """The site reads a list, in which nothing stands yet."""
    revoke(site)
    public = site.key.with_suffix(".pub.pem")
    site.trust(more=f'[trust.revocation]\nfile = "{site.folder / "revoked.json"}"\nkey = "{public}"\n')


def test_a_key_and_a_model_are_revoked(site: Site) -> None:
    site.sign()
    revocable(site)
    assert site.iodeep("select", HEAD_SERIES, "--config", site.config).code == 0

    shown = site.iodeep("signing-key", "show", site.key.with_suffix(".pub.pem"), "--json")
    revoke(site, json.loads(shown.out)["id"])
    assert "is revoked (lost on a train)" in site.refusal()

    (site.folder / "revoked.json").unlink()
    assert "cannot be relied on" in site.refusal()
    revoke(site, read_descriptor(site.model / "descriptor.dcm").identity.manifest_sha256)
    assert "this model is revoked (lost on a train)" in site.refusal()


class NeverRuns(Engine):
    """An engine that must not be asked."""

    def run(self, card: ModelCard, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"{card.name} was run")


def test_what_is_revoked_after_it_was_chosen_is_not_run(site: Site, tmp_path: Path) -> None:
    site.sign()
    revocable(site)
    with open_archive(site.archive.settings) as archive, NeverRuns(RunSettings()) as engine:
        subject = subject_of(HEAD_SERIES, archive, tmp_path / "images")
        job = Job(subject, archive, tmp_path / "cache", site_policy(site.settings()), kind=SegKind.BINARY)
        selection = selected(job, lambda _: None)
        choice = choice_of(job, selection, selection.decision, tmp_path / "chosen")
        revoke(site, choice.descriptor.identity.manifest_sha256)

        with pytest.raises(NotTrustedError, match="this model is revoked"):
            run_choice(job, choice, engine, tmp_path / "running", watch=Stopwatch())


def test_a_job_is_not_run_either(site: Site, tmp_path: Path) -> None:
    site.sign()
    revocable(site)
    request = JobRequest(study_instance_uid=HEAD_STUDY, series_instance_uid=HEAD_SERIES, pacs="main", results_to="main")
    with NeverRuns(RunSettings()) as engine:
        steps = steps_in(tmp_path / "job", site.archive, engine, request)
        policy = site_policy(site.settings(), serving=True)
        steps = JobSteps(
            request,
            replace(steps._shop, policy=policy),
            steps._place,
            progress=lambda _: None,
            cancel=steps._cancel,
        )
        for step in (Step.SELECT, Step.FETCH, Step.VERIFY):
            steps.done[step] = json.loads(json.dumps(steps.do(step)))
        revoke(site, steps.done[Step.SELECT]["model"]["manifest_sha256"])

        with pytest.raises(NotTrustedError, match="this model is revoked"):
            steps.do(Step.RUN)
        steps.close()


def test_the_keys_that_are_trusted_are_listed(site: Site) -> None:
    (key,) = json.loads(site.iodeep("signing-key", "list", "--config", site.config, "--json").out)["keys"]

    assert (key["name"], key["roles"], key["kind"]) == ("the developer", ["developer"], "Ed25519")
