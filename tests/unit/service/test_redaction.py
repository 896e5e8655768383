"""Lines of the log hold no credential, and no patient unless the site asks for it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from iodeep.serve_settings import LogSettings
from iodeep.service.redaction import MOST_CHARACTERS, redacted
from iodeep.service.serving.logs import set_up_logging

KEY = "iodeep_0123456789ab_" + "S" * 43
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzZWNyZXQifQ.c2VjcmV0"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (f"Authorization: Bearer {JWT}", JWT),
        (f"headers={{'authorization': 'Bearer {KEY}'}}", "S" * 43),
        ("Authorization: Basic dXNlcjpzZWNyZXQ=", "dXNlcjpzZWNyZXQ"),
        ("curl -H 'authorization: basic c2VjcmV0c2VjcmV0'", "c2VjcmV0"),
        ("Cookie: iodeep=hush-hush; other=quiet", "quiet"),
        ("{'set-cookie': 'iodeep=hush-hush; HttpOnly'}", "hush"),
        ("postgresql://iodeep:hush@db.example/jobs", "hush"),
        ("https://user:hu:sh@pacs/dicom-web", "sh@"),
        (f"the key {KEY} was refused", "S" * 43),
        (f"token {JWT} was refused", "eyJ"),
        ("client_secret=hush", "hush"),
        ('{"password": "hush"}', "hush"),
        ("{'api_key': 'hush'}", "hush"),
        ("GET /auth/oidc/callback?code=hush&state=shh HTTP/1.1", "hush"),
        ("GET /auth/oidc/callback?code=hush&state=shh HTTP/1.1", "shh"),
        ("-----BEGIN EC PRIVATE KEY-----\nhush\n-----END EC PRIVATE KEY-----", "hush"),
    ],
)
def test_no_line_holds_a_credential(line: str, secret: str) -> None:
    assert secret in line
    assert secret not in redacted(line)
    assert secret not in redacted(line, patient_data=True)


@pytest.mark.parametrize(
    ("line", "patient"),
    [
        ("stored for DOE^JANE", "JANE"),
        ("stored for Müller^Jörg^^Dr.", "Jörg"),
        ("PatientID=4711 has no series", "4711"),
        ("Patient ID: 4711, study 1.2.3", "4711"),
        ("patient's name: Jane Doe; study 1.2.3", "Jane"),
        ("{'PatientName': 'Jane Doe', 'x': 1}", "Jane"),
        ("patient id '4711' is not known", "4711"),
        ("GET /dicom-web/studies?PatientID=4711&limit=1", "4711"),
        ("GET /dicom-web/studies?00100020=4711&limit=1", "4711"),
        ('{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe Jane"}]}, "0020000D": {"vr": "UI"}}', "Jane"),
        ("(0010,0020) LO [4711]                     # 4, 1 PatientID", "4711"),
        ("(0008, 0050) Accession Number              SH: 'A4711'", "A4711"),
    ],
)
def test_no_line_names_a_patient_unless_the_site_asks_for_it(line: str, patient: str) -> None:
    assert patient not in redacted(line)
    assert redacted(line, patient_data=True) == line


def test_a_data_set_that_a_library_writes_out_names_nobody() -> None:
    data = Dataset()
    data.PatientName, data.PatientID, data.PatientBirthDate = "DOE^JANE", "4711", "19700101"
    data.StudyInstanceUID = "1.2.3"
    shown = redacted(str(data))

    assert not any(part in shown for part in ("JANE", "4711", "19700101"))
    assert "1.2.3" in shown


@pytest.mark.parametrize(
    "line",
    [
        "job 4c1f0a is done: 1.2.840.113619.2.5 in 20.1 s",
        "listening on http://127.0.0.1:8080 and dicom://IODEEP@127.0.0.1:11112",
        "MAINPACS (PACS@10.0.0.2:104) does not answer; trying again in 5 s",
        "the token has expired",
        "key file /var/lib/iodeep/api-keys.json: 3 keys",
        "2^31 voxels",
    ],
)
def test_what_an_administrator_needs_stays(line: str) -> None:
    assert redacted(line).replace("***", "2^31") == line


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_can_be_logged(text: str) -> None:
    assert isinstance(redacted(text), str)


@given(st.text(alphabet="abcDEF123_-", min_size=43, max_size=43))
def test_no_api_key_gets_through_wherever_it_stands(secret: str) -> None:
    assert secret not in redacted(f"x=iodeep_0123456789ab_{secret}&y [iodeep_0123456789ab_{secret}]")


@pytest.mark.timeout(120)
def test_no_line_takes_long_whatever_a_peer_had_quoted_in_it() -> None:
    pieces = ("a", "9", "a'", "a.", "://", "(0010,0010)", '"00100010":{', "password", "Doe^", "-----BEGIN ", "cookie ")
    for piece in pieces * 4:
        assert len(redacted(piece * (400_000 // len(piece)))) < MOST_CHARACTERS + 100


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, given back as it was."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    others = {name: logging.getLogger(name).level for name in logging.Logger.manager.loggerDict}
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    for name, before in others.items():
        logging.getLogger(name).setLevel(before)


def test_libraries_that_quote_garbled_input_are_silent(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    set_up_logging(LogSettings())
    logging.getLogger("pynetdicom.utils").error("'ascii' codec can't decode %r", "DOE JANE")
    logging.getLogger("pydicom").warning("Invalid value for VR PN: %r", "DOE JANE")

    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("patient_data", [False, True])
def test_the_services_log_keeps_to_it(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch, form: str, patient_data: bool
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    set_up_logging(LogSettings.model_validate({"form": form, "patient_data": patient_data}))
    try:
        int("no such patient: DOE^JANE at https://u:hush@pacs")
    except ValueError:
        logging.getLogger("iodeep.test").exception("PatientID=%s with %s", 4711, {"Authorization": f"Bearer {JWT}"})
    written = stream.getvalue()

    assert "hush" not in written
    assert JWT not in written
    assert ("JANE" in written) is ("4711" in written) is patient_data
    if form == "json":
        assert json.loads(written)["logger"] == "iodeep.test"
