"""The service runs what is approved and nothing else, whatever the archive holds; trials are seen by nobody but the research archive."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import Dataset, dcmread

from iodeep.model_object import private_block as block
from iodeep.model_object import read_descriptor
from iodeep.model_object.manifest import canonical_json
from iodeep.ports import Level, Wanted
from iodeep.service.audit import AuditFilter, EventKind, read_events
from iodeep.service.jobs import JobFilter, JobRecord, JobRequest, JobState
from iodeep.service.jobs.kept_board import KeptBoard, open_board
from iodeep.service.library import local_model
from iodeep.service.storing import dicom_files
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive
from tests.end_to_end.conftest import HEAD, CommandLine
from tests.end_to_end.copies import copied_head
from tests.unit.model_object.models import edit

pytestmark = pytest.mark.slow

BRAIN = HEAD.parent / "brain"
WHY = ("--reason", "our trial of 40 cases")


@dataclass
class Hospital:
    """A clinical and a research archive, a service, and its register."""

    folder: Path
    main: PacsSettings
    research: PacsSettings
    iodeep: CommandLine
    board: KeptBoard
    studies: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "iodeep.toml"

    def says(self, *arguments: object) -> Any:
        """What a command answers, as a document."""
        ended = self.iodeep(*arguments, "--config", self.config, "--json")
        assert ended.code == 0, ended.out + ended.err
        return json.loads(ended.out)

    def state(self, study: str) -> str:
        """Where a release stands."""
        return str(self.says("states", study)["state"])

    def store(self, folder: Path) -> str:
        """Store a release, unregistered; its study."""
        with open_archive(self.main) as archive:
            archive.store(dicom_files([folder]))
        return read_descriptor(local_model(folder).descriptor_path).study_instance_uid

    def series(self) -> JobRequest:
        """Another series of the head in the clinical archive."""
        copy = copied_head(self.folder / f"series-{len(self.studies)}")
        with open_archive(self.main) as archive:
            archive.store(copy.paths)
        self.studies.append(copy.study)
        return JobRequest(
            study_instance_uid=copy.study, series_instance_uid=copy.series, pacs="main", results_to="main"
        )

    def job(self, model: str | None = None) -> JobRecord:
        """A job on another series, ended."""
        return self.ended(self.board.submit(self.series().model_copy(update={"model": model}))[0].job_id)

    def ended(self, job_id: str) -> JobRecord:
        """A job, once it has ended."""
        *_, last = self.board.follow(job_id)
        return last

    def trials(self) -> list[JobRecord]:
        """Trials on the newest study, ended."""
        found = self.board.list(JobFilter(study_instance_uid=self.studies[-1], shadow=True))
        return [self.ended(each.job_id) for each in found]

    def results_in(self, pacs: PacsSettings) -> list[str]:
        """Modalities of what is in an archive of the newest study, besides its images."""
        with open_archive(pacs) as archive:
            rows = archive.find(Level.SERIES, {"StudyInstanceUID": self.studies[-1]}, ("Modality",))
        return sorted(row["Modality"] for row in rows if row["Modality"] != "MR")

    def replace(self, study: str) -> None:
        """Store other content under a release's own UIDs, with digests that hold."""
        with open_archive(self.main) as archive:
            into = self.folder / "taken"
            into.mkdir()
            for path in archive.fetch(Wanted(study), into):
                if int(dcmread(path, stop_before_pixels=True).SeriesNumber) < 1_000_000:
                    edit(path, _other_content)
                    archive.store([path])

    def alerts(self) -> list[str]:
        """Security alerts of the audit log."""
        wanted = AuditFilter(kinds=frozenset({EventKind.SECURITY_ALERT}))
        return [each.event.detail for each in read_events(self.folder / "data" / "audit", wanted, 100)]


def _other_content(dataset: Dataset) -> None:
    manifest = json.loads(bytes(dataset[block.MANIFEST.tag()].value).rstrip(b"\0"))
    manifest["card"]["intended_use"]["purpose"] = "Anything at all."
    encoded = canonical_json(manifest)
    dataset[block.MANIFEST.tag()].value = encoded + b"\0" * (len(encoded) % 2)
    dataset[block.MANIFEST_SHA256.tag()].value = hashlib.sha256(encoded).hexdigest()


@pytest.fixture
def hospital(tmp_path: Path, iodeep: CommandLine) -> Iterator[Hospital]:
    data = tmp_path / "data"
    data.mkdir()
    with embedded_archive(tmp_path / "main") as main, embedded_archive(tmp_path / "research") as research:
        archives = "".join(
            f'[pacs.{name}]\nhost = "{each.host}"\nport = {each.port}\naet = "{each.aet}"\n'
            for name, each in (("main", main), ("research", research))
        )
        (tmp_path / "iodeep.toml").write_text(
            f'default_pacs = "main"\n{archives}'
            '[trust]\nunsigned = "warn"\nresearch = true\n[lifecycle]\nshadow_archive = "research"\n'
            f'[serve]\ndata = "{data}"\n',
            encoding="utf-8",
        )
        with closing(open_board(f"sqlite:///{data}/jobs.sqlite", batch_delay_s=3600, dead_after_s=10)) as board:
            yield Hospital(tmp_path, main, research, iodeep, board)


@contextmanager
def served(hospital: Hospital) -> Iterator[list[str]]:
    """`iodeep serve` with a worker; what it says when it starts."""
    command = [sys.executable, "-m", "iodeep", "serve", "--role", "worker", "--config", str(hospital.config)]
    environment = {**os.environ, "IODEEP_CACHE": str(hospital.folder / "served-cache")}
    with (
        (hospital.folder / "serve.log").open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True) as process,
    ):
        assert process.stdout
        said: list[str] = []
        try:
            for line in process.stdout:
                said.append(line)
                if line.startswith("ready"):
                    break
            yield said
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, said


def newer_release(hospital: Hospital) -> Path:
    """The brain model once more, as version 1.1.0."""
    card = yaml.safe_load((BRAIN / "card.yaml").read_text(encoding="utf-8")) | {"version": "1.1.0"}
    path = hospital.folder / "newer.yaml"
    path.write_text(yaml.safe_dump(card, allow_unicode=True), encoding="utf-8")
    hospital.says("pack", BRAIN, "--card", path, "--out", hospital.folder / "newer")
    return hospital.folder / "newer"


def test_what_the_service_runs_follows_the_register_and_not_the_archive(
    hospital: Hospital, objects: dict[str, Path]
) -> None:
    older = hospital.store(objects["BRAINMASK"])
    with served(hospital) as said:
        assert any("no model is approved" in line for line in said)

        refused = hospital.job()
        assert (refused.state, hospital.results_in(hospital.main)) == (JobState.REFUSED, [])
        assert refused.failure
        assert "never registered at this site" in refused.failure.problem

        assert hospital.trials() == []

        hospital.says("shadow", older, *WHY)
        refused = hospital.job()
        (trial,) = hospital.trials()
        assert refused.failure
        assert (refused.state, "runs as a shadow only" in refused.failure.problem) == (JobState.REFUSED, True)
        assert (trial.state, trial.model_version) == (JobState.DONE, "1.0.2"), trial.failure
        assert (hospital.results_in(hospital.main), hospital.results_in(hospital.research)) == ([], ["SEG", "SR"])

        hospital.says("approve", older, *WHY)
        newer = hospital.store(newer_release(hospital))
        hospital.says("shadow", newer, *WHY)
        beside = hospital.job()
        (trial,) = hospital.trials()
        assert (beside.state, beside.model_version) == (JobState.DONE, "1.0.2"), beside.failure
        assert (trial.state, trial.model_version) == (JobState.DONE, "1.1.0"), trial.failure
        assert hospital.results_in(hospital.main) == ["SEG", "SR"]
        assert hospital.results_in(hospital.research) == ["SEG", "SR"]
        assert not {each.sop_instance_uid for each in trial.results} & {
            each.sop_instance_uid for each in beside.results
        }
        with open_archive(hospital.research) as archive:
            (report,) = archive.fetch(
                Wanted(hospital.studies[-1], trial.results[1].series_instance_uid), hospital.folder / "report"
            )
        assert dcmread(report).SeriesDescription.startswith("Research")

        hospital.says("approve", newer, *WHY)
        hospital.says("rollback", "Brain extraction", *WHY)
        assert (hospital.state(older), hospital.state(newer)) == ("approved", "retired")
        taken_back = hospital.job()
        assert (taken_back.state, taken_back.model_version) == (JobState.DONE, "1.0.2"), taken_back.failure
        retired = hospital.job(model=newer)
        assert retired.failure
        assert (retired.state, "it was retired" in retired.failure.problem) == (JobState.REFUSED, True)

        hospital.replace(older)
        replaced = hospital.job()
        assert replaced.failure
        assert (replaced.state, "REPLACED" in replaced.failure.problem) == (JobState.FAILED, True)
        assert hospital.state(older) == "quarantined"
        again = hospital.job()
        assert again.failure
        assert (again.state, "in quarantine" in again.failure.problem) == (JobState.REFUSED, True)
        assert hospital.results_in(hospital.main) == []
    assert [alert for alert in hospital.alerts() if "REPLACED" in alert]
    listed = hospital.says("models", "--pacs", "main")["models"]
    assert {each["version"]: each["state"] for each in listed} == {"1.0.2": "quarantined", "1.1.0": "retired"}
