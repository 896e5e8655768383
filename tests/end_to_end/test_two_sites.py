"""Two hospitals, each with an archive, settings, keys and folders of its own: a model goes from one to the other, and what is wrong stays out.

Nothing is shared but what is carried: media, or one archive's address told to the other.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset, dcmread

from iodeep.errors import ExitCode
from iodeep.model_object import ObjectKind, read_descriptor, recognise
from iodeep.model_object import private_block as block
from iodeep.model_object.manifest import canonical_json
from iodeep.ports import Level, Wanted
from iodeep.service.exchange.exporting import export_model
from iodeep.service.library import LocalModel, local_model
from iodeep.service.signing import sign_model
from iodeep.service.storing import dicom_files
from iodeep.settings import PacsSettings
from iodeep.trust.signatures import SigningKey
from iodeep.trust_settings import SignerRole
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive
from tests.end_to_end.conftest import HEAD, CommandLine
from tests.end_to_end.copies import Copy, copied_head
from tests.end_to_end.test_trust import another
from tests.peers.conftest import _running
from tests.peers.servers import Peer
from tests.unit.model_object.models import edit, flip_byte
from tests.unit.trust.signing import key_files

pytestmark = [pytest.mark.peers, pytest.mark.slow]

BRAIN = HEAD.parent / "brain"


@dataclass(frozen=True)
class Hospital:
    """A site: its archive, and a folder with its settings, its keys and all that its software keeps."""

    folder: Path
    pacs: PacsSettings
    iodeep: CommandLine
    monkeypatch: pytest.MonkeyPatch

    def says(self, *arguments: object, code: int = 0) -> str:
        """What a command of this site prints, once it ended as it has to."""
        self.monkeypatch.setenv("IODEEP_CACHE", str(self.folder / "cache"))
        self.monkeypatch.setenv("IODEEP_CONFIG", str(self.folder / "iodeep.toml"))
        ended = self.iodeep(*arguments)
        said = " ".join((ended.out + ended.err).split())
        assert ended.code == code, said
        return said

    def told(self, *arguments: object, code: int = 0) -> Any:
        """The same as a document."""
        return json.loads(self.says(*arguments, "--json", code=code))

    def settle(self, *sections: str, others: dict[str, PacsSettings] | None = None) -> None:
        """Write the settings: the archive, archives of ``others`` by name, and ``sections``."""
        archives = {"main": self.pacs, **(others or {})}
        told = "\n".join(
            f'[pacs.{name}]\nhost = "{each.host}"\nport = {each.port}\naet = "{each.aet}"\n'
            for name, each in archives.items()
        )
        data = f'[serve]\ndata = "{self.folder / "data"}"\n'
        text = "\n".join(['default_pacs = "main"\n' if len(archives) > 1 else "", told, data, *sections])
        (self.folder / "iodeep.toml").write_text(text, encoding="utf-8")

    def series(self) -> Copy:
        """A patient's series in the archive, under UIDs that nobody has used."""
        copy = copied_head(self.folder / f"series{len(list(self.folder.glob('series*')))}")
        with open_archive(self.pacs) as archive:
            archive.store(copy.paths)
        return copy

    def models(self) -> dict[str, str | None]:
        """Those that the archive has, by study, with what this site has against them."""
        return {each["study_instance_uid"]: each["problem"] for each in self.told("models")["models"]}


def trusting(public: Path, *, key: str = "", more: str = "") -> str:
    """``[trust]`` of a site that takes models from one developer alone, and runs none that is not signed."""
    return (
        f'[trust]\nunsigned = "refuse"\nresearch = true\n{more}\n'
        f'[[trust.keys]]\nname = "the developer"\nfile = "{public}"\nroles = ["developer"]\n{key}\n'
    )


@pytest.fixture(scope="module")
def first_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    yield from _running("orthanc", tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def second_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    yield from _running("orthanc", tmp_path_factory.mktemp("second"))


MakeHospital = Callable[[str, PacsSettings], Hospital]


@pytest.fixture
def hospital(tmp_path: Path, iodeep: CommandLine, monkeypatch: pytest.MonkeyPatch) -> MakeHospital:
    """Makes a hospital of a name and an archive."""
    monkeypatch.setenv("IODEEP_KEY_PASSPHRASE", "correct horse battery staple")

    def make(name: str, pacs: PacsSettings) -> Hospital:
        folder = tmp_path / name
        folder.mkdir()
        made = Hospital(folder, pacs, iodeep, monkeypatch)
        made.settle()
        return made

    return make


@pytest.fixture
def first(hospital: MakeHospital, first_orthanc: Peer) -> Hospital:
    """The hospital that gives."""
    return hospital("first-hospital", first_orthanc.settings())


@pytest.fixture
def second(hospital: MakeHospital, second_orthanc: Peer) -> Hospital:
    """The hospital that takes."""
    return hospital("second-hospital", second_orthanc.settings())


def published(at: Hospital, alter: Callable[[Path], None] = lambda _: None) -> tuple[str, Path]:
    """A model that the hospital packs, signs and stores: its study, and the public key to tell others.

    ``alter``: what somebody does to the signed object before it is in the archive.
    """
    key, folder = at.folder / "developer.pem", at.folder / "object"
    at.says("signing-key", "new", "--out", key) if not key.exists() else None
    study = at.told("pack", BRAIN, "--card", BRAIN / "card.yaml", "--out", folder)["study_instance_uid"]
    at.says("sign", folder, "--key", key, "--role", "developer")
    alter(folder)
    at.says("store", folder, "--to", "main")
    return study, key.with_suffix(".pub.pem")


def handed_over(what: Path, to: Hospital) -> Path:
    """A file or folder that somebody carried to the other hospital."""
    there = to.folder / "carried" / what.name
    there.parent.mkdir(exist_ok=True)
    return Path(shutil.copytree(what, there) if what.is_dir() else shutil.copy(what, there))


LIFECYCLE = "[lifecycle]\nrequired = true\n"
"""Commands too run what is approved alone, as the service does."""
WAY = ["received", "quarantined", "verified", "self-tested", "approved"]


def put_to_use(at: Hospital, study: str) -> None:
    """From its arrival to a result in the archive that names it: verified, tested and approved here before it runs."""
    assert at.told("verify", study, "--pacs", "main")["holds"]
    series = at.series()
    refused = at.says("run", series.series, "--model", study, code=ExitCode.REFUSED)
    assert "it is in quarantine" in refused or "it was never registered at this site" in refused
    at.says("approve", study, "--by", "A. Physicist", "--reason", "our trial of 40 cases", "--skip-shadow")
    assert [record["after"] for record in at.told("states", study)["history"]] == WAY
    ran = at.told("run", series.series, "--pacs", "main")
    assert ran["stored"]
    assert ran["model"]["manifest_sha256"] == at.told("show", study)["manifest_sha256"]
    with open_archive(at.pacs) as archive:
        rows = archive.find(Level.SERIES, {"StudyInstanceUID": series.study}, ("SeriesInstanceUID", "Modality"))
        of_kind = {row["Modality"]: row["SeriesInstanceUID"] for row in rows}
        for kind in ("SEG", "SR"):
            into = at.folder / f"result-{kind}-{series.series}"
            into.mkdir()
            (path,) = archive.fetch(Wanted(series.study, of_kind[kind]), into)
            made_by = pydicom.dcmread(path).ContributingEquipmentSequence
            named = [(each.ManufacturerModelName, each.get("DeviceUID")) for each in made_by]
            assert ("Brain extraction", ran["model"]["device_uid"]) in named


@pytest.mark.parametrize("as_what", ["folder", "encrypted"])
def test_a_model_goes_on_media_and_is_put_to_use(as_what: str, first: Hospital, second: Hospital) -> None:
    study, public = published(first)
    second.settle(trusting(handed_over(public, second)), LIFECYCLE)
    out, encrypt, opened = first.folder / "to-carry", [], []
    if as_what == "encrypted":
        key = second.folder / "receiver"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        out, opened = out.with_suffix(".zip.age"), ["--key", key]
        encrypt = ["--encrypt-to", handed_over(key.with_suffix(".pub"), first)]

    given = first.told("export", study, "--pacs", "main", "--out", out, *encrypt)
    carried = handed_over(out, second)
    taken = second.told("import", carried, "--to", "main", "--accept-licence", "MIT", *opened)

    assert taken["manifest_sha256"] == given["manifest_sha256"]
    assert taken["instances"] == given["instances"] == 3
    put_to_use(second, study)


def test_a_model_is_sent_and_put_to_use(first: Hospital, second: Hospital) -> None:
    study, public = published(first)
    second.settle(trusting(handed_over(public, second)), LIFECYCLE, others={"first": first.pacs})

    sent = second.told("send", study, "--from", "first", "--to", "main")
    again = second.told("send", study, "--from", "first", "--to", "main")

    assert (sent["instances"], sent["held_before"], again["held_before"]) == (3, 0, 3)
    put_to_use(second, study)


def test_a_part_that_was_altered_in_the_first_archive_is_not_sent(first: Hospital, second: Hospital) -> None:
    study, public = published(first, alter_part)
    second.settle(trusting(public), LIFECYCLE, others={"first": first.pacs})

    said = second.says("send", study, "--from", "first", "--to", "main", code=ExitCode.NOT_TRUSTED)

    assert "part 1 of 1 of brain-extraction.onnx was altered" in said
    assert study not in second.models()


def test_a_signature_that_was_altered_in_the_first_archive_stays_in_quarantine_in_the_second(
    first: Hospital, second: Hospital
) -> None:
    study, public = published(first, alter_signature)
    second.settle(trusting(public), LIFECYCLE, others={"first": first.pacs})

    second.says("send", study, "--from", "first", "--to", "main")
    said = second.says(
        "approve", study, "--pacs", "main", "--reason", "trial", "--skip-shadow", code=ExitCode.NOT_TRUSTED
    )

    assert "does not hold" in said
    assert second.told("states", study)["state"] == "quarantined"
    assert "does not hold" in (second.models()[study] or "")


def test_a_transfer_that_was_cut_off_goes_on_where_it_ended(first: Hospital, second: Hospital) -> None:
    study, public = published(first)
    second.settle(trusting(handed_over(public, second)), LIFECYCLE, others={"first": first.pacs})
    carried = handed_over(first.folder / "object", second)
    with open_archive(second.pacs) as archive:  # the parts came, and then nothing more
        archive.store([path for path in dicom_files([carried]) if recognise(path).kind is ObjectKind.PART])
    assert "has no descriptor" in (second.models()[study] or "")

    sent = second.told("send", study, "--from", "first", "--to", "main")

    assert (sent["instances"], sent["held_before"]) == (3, 1)
    assert "it was never registered at this site" in (second.models()[study] or "")


@dataclass(frozen=True)
class SignedMedia:
    """What a developer hands out: a signed model as DICOM media, and the developer's key."""

    folder: Path
    key: SigningKey
    public: Path

    @property
    def manifest_sha256(self) -> str:
        return read_descriptor(local_model(self.folder).descriptor_path).identity.manifest_sha256


@pytest.fixture(scope="module")
def signed_media(objects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> SignedMedia:
    folder = tmp_path_factory.mktemp("developer")
    shutil.copytree(objects["BRAINMASK"], folder / "object")
    key, public = key_files(folder)
    model = local_model(folder / "object")
    sign_model(read_descriptor(model.descriptor_path), key, SignerRole.DEVELOPER, folder / "object")
    export_model(LocalModel(model.descriptor_path, (folder / "object",)), folder / "media")
    return SignedMedia(folder / "media", key, public)


def of_kind(media: Path, kind: ObjectKind) -> Path:
    (found,) = [path for path in dicom_files([media]) if recognise(path).kind is kind]
    return found


def alter_part(media: Path) -> None:
    flip_byte(of_kind(media, ObjectKind.PART), -5000)


def alter_tag(media: Path) -> None:
    edit(of_kind(media, ObjectKind.DESCRIPTOR), lambda dataset: setattr(dataset, "BodyPartExamined", "KNEE"))


def alter_card(media: Path) -> None:
    descriptor = of_kind(media, ObjectKind.DESCRIPTOR)
    flip_byte(descriptor, descriptor.read_bytes().index(b"For research") + 2)


def alter_signature(media: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset[block.SIGNATURE.tag()].value = another(bytes(dataset[block.SIGNATURE.tag()].value))

    edit(of_kind(media, ObjectKind.SIGNATURE), change)


def exchanged_card(dataset: Dataset) -> None:
    """Another purpose, with digests that hold: whoever can write a whole object can do that."""
    manifest = json.loads(bytes(dataset[block.MANIFEST.tag()].value).rstrip(b"\0"))
    manifest["card"]["intended_use"]["purpose"] = "Anything at all."
    encoded = canonical_json(manifest)
    dataset[block.MANIFEST.tag()].value = encoded + b"\0" * (len(encoded) % 2)
    dataset[block.MANIFEST_SHA256.tag()].value = hashlib.sha256(encoded).hexdigest()


def exchange_card(media: Path) -> None:
    """The parts follow, so that every digest holds."""
    descriptor = of_kind(media, ObjectKind.DESCRIPTOR)
    edit(descriptor, exchanged_card)
    sha256 = str(dcmread(descriptor)[block.MANIFEST_SHA256.tag()].value)
    for kind in (ObjectKind.PART, ObjectKind.SIGNATURE):
        edit(of_kind(media, kind), lambda dataset: setattr(dataset[block.MANIFEST_SHA256.tag()], "value", sha256))


ALTERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "part": (alter_part, "part 1 of 1 of brain-extraction.onnx was altered"),
    "tag": (alter_tag, "BodyPartExamined of"),
    "card": (alter_card, "the manifest of"),
    "card and its digests": (exchange_card, "is for another model, or the manifest was replaced since"),
    "signature": (alter_signature, "does not hold"),
}


@pytest.mark.parametrize("what", ALTERED)
def test_what_was_altered_on_the_way_is_refused_and_not_stored(
    what: str, second: Hospital, signed_media: SignedMedia
) -> None:
    alter, sentence = ALTERED[what]
    media = handed_over(signed_media.folder, second)
    second.settle(trusting(signed_media.public))
    before = second.models()

    alter(media)
    said = second.says("import", media, "--to", "main", "--accept-licence", "MIT", code=ExitCode.NOT_TRUSTED)

    assert sentence in said
    assert second.models() == before


def test_a_key_that_expired_is_refused(second: Hospital, signed_media: SignedMedia) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    second.settle(trusting(signed_media.public, key=f"until = {yesterday}"))

    said = second.says(
        "import", signed_media.folder, "--to", "main", "--accept-licence", "MIT", code=ExitCode.NOT_TRUSTED
    )

    assert f"the developer was trusted until {yesterday} only" in said


def test_a_key_that_was_revoked_is_refused(second: Hospital, signed_media: SignedMedia) -> None:
    office = second.folder / "office.pem"
    second.says("signing-key", "new", "--out", office)
    key = second.told("signing-key", "show", signed_media.public)["id"]
    listed = second.folder / "revoked.json"
    second.says("revoke", key, "--reason", "lost on a train", "--list", listed, "--key", office)
    revocation = f'[trust.revocation]\nfile = "{listed}"\nkey = "{office.with_suffix(".pub.pem")}"\n'
    second.settle(trusting(signed_media.public), revocation)

    said = second.says(
        "import", signed_media.folder, "--to", "main", "--accept-licence", "MIT", code=ExitCode.NOT_TRUSTED
    )

    assert "of the developer is revoked (lost on a train)" in said


def test_an_instance_that_was_replaced_is_refused_and_put_to_quarantine(
    hospital: MakeHospital, signed_media: SignedMedia
) -> None:
    """The archive overwrites what is stored again under the same UID, without a word."""
    with embedded_archive(signed_media.folder.parent / "overwriting", aet="SECOND") as pacs:
        second = hospital("second-hospital", pacs)
        second.settle(trusting(signed_media.public), LIFECYCLE)
        study = second.told("import", signed_media.folder, "--to", "main", "--accept-licence", "MIT")[
            "study_instance_uid"
        ]
        second.says("approve", study, "--reason", "our trial of 40 cases", "--skip-shadow")
        series = second.series()
        second.says("select", series.series)

        replaced = handed_over(signed_media.folder, second)
        edit(of_kind(replaced, ObjectKind.DESCRIPTOR), exchanged_card)
        with open_archive(pacs) as archive:
            archive.store([of_kind(replaced, ObjectKind.DESCRIPTOR)])

        ran = second.says("run", series.series, code=ExitCode.NOT_TRUSTED)
        verified = second.says("verify", study, code=ExitCode.NOT_TRUSTED)
        (seen,) = second.told("states", "--pacs", "main")["models"]
        approved = second.says("approve", study, "--reason", "it looks the same", code=ExitCode.NOT_TRUSTED)
    assert "it was REPLACED: the archive has other content under the same SOP Instance UID" in ran
    assert "is a part of another model than Brain extraction 1.0.2" in verified
    assert (seen["state"], "REPLACED" in seen["reason"]) == ("quarantined", True)
    assert "is a part of another model than Brain extraction 1.0.2" in approved
