"""Health, readiness, figures, metrics, the page and the audit log."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from iodeep.errors import SettingsError
from iodeep.service.api import run_api
from iodeep.service.api.figures import day_summary, percentile, records_since, span_of
from iodeep.service.api.metrics import Metrics
from iodeep.service.audit import AuditEvent, EventKind, open_audit
from iodeep.service.intake_counters import write_counters
from iodeep.service.jobs import JobRequest, JobState
from iodeep.service.serving import DataFolders
from tests.unit.service.api.busy_day import busy_day, counters
from tests.unit.service.api.site import SERIES, STUDY, Site

DASHBOARD = Path(__file__).parents[4] / "deploy" / "grafana" / "iodeep.json"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def metrics(client: httpx.Client) -> dict[tuple[str, str], float]:
    """Every sample by its name and labels."""
    text = client.get("/metrics").text
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_site_that_works_is_ready(client: httpx.Client, site: Site) -> None:
    assert client.get("/api/v1/health").json() == {"status": "ok"}
    ready = client.get("/api/v1/readiness")
    assert (ready.status_code, ready.json()["archives_answering"]) == (200, 1)


def test_without_an_archive_that_answers_it_is_not_ready_and_says_why_to_those_who_may_know(
    client: httpx.Client, site: Site
) -> None:
    site.archive_answers.clear()

    assert client.get("/api/v1/readiness").status_code == 503
    assert "main" not in client.get("/api/v1/readiness").text
    (archive,) = client.get("/api/v1/archives").json()
    assert (archive["answers"], archive["problem"]) == (False, "nothing answers at main. Start it.")


def test_a_full_disk_is_not_ready(start: Callable[[Site], httpx.Client], site: Site) -> None:
    site.serve |= {"arrivals": {"least_free_bytes": 1 << 60}}

    assert start(site).get("/api/v1/readiness").json()["disk"] is False


def test_metrics_tell_what_the_board_and_the_intake_know(client: httpx.Client, site: Site) -> None:
    metrics(client)
    record, _ = site.board.submit(
        JobRequest(study_instance_uid=STUDY, series_instance_uid=SERIES, pacs="main", results_to="main")
    )
    ended = datetime.now(UTC) + timedelta(seconds=30)
    done = {"state": JobState.DONE, "finished": ended, "model_name": "Brain", "model_version": "1"}
    site.board.change(record.job_id, **done, seconds={"run": 20.0, "fetch": 2.0})
    site.board.set_workers([{"worker": "w", "host": "h", "state": "busy", "job_id": "", "last_seen": ""}])
    write_counters(site.root / "running", counters())

    for _ in range(2):
        found = metrics(client)
        assert found["iodeep_jobs", "done"] == 1
        assert found["iodeep_jobs_ended_total", "done"] == 1
        assert found["iodeep_step_seconds_sum", "run"] == 20
        assert found["iodeep_job_latency_seconds_sum", "api"] == pytest.approx(30, abs=0.5)
        assert found["iodeep_job_overhead_seconds_sum", "api"] == pytest.approx(10, abs=0.5)
        assert found["iodeep_model_runs_total", "Brain,1"] == 1
        assert found["iodeep_workers", "busy"] == 1
        assert found["iodeep_listener_instances_total", ""] == 48_211
        assert found["iodeep_archive_answers", "main"] == 1


def test_a_job_that_is_retried_and_ends_again_is_counted_twice(client: httpx.Client, site: Site) -> None:
    record, _ = site.board.submit(
        JobRequest(study_instance_uid=STUDY, series_instance_uid=SERIES, pacs="main", results_to="main")
    )
    for ends in (1, 2):
        site.board.change(record.job_id, state=JobState.FAILED, finished=datetime.now(UTC))
        assert metrics(client)["iodeep_jobs_ended_total", "failed"] == ends
        site.board.retry(record.job_id)
        metrics(client)


def test_what_ended_before_the_process_started_is_not_counted(site: Site) -> None:
    site.board = busy_day()
    just_before = datetime.now(UTC) - timedelta(seconds=2)
    waiting = next(row for row in site.board.list(limit=500) if row.state is JobState.WAITING)
    site.board.change(waiting.job_id, state=JobState.CANCELLED, finished=just_before)

    exposition = Metrics(site.context(), site.board).exposition([]).decode()

    assert 'iodeep_jobs{state="cancelled"} 1.0' in exposition
    assert 'iodeep_jobs_ended_total{state="cancelled"} 0.0' in exposition


def test_the_api_speaks_tls_alone_where_it_has_a_certificate(
    start: Callable[[Site], httpx.Client], site: Site, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    site.serve["http"] |= {"tls": {"certificate": tmp_path / "certificate.pem", "key": tmp_path / "key.pem"}}
    start(site)
    url = site.announced[0]["http"]
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())

    assert url.startswith("https://")
    assert httpx.get(f"{url}/api/v1/health", verify=trusting).json() == {"status": "ok"}
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url.replace('https', 'http')}/api/v1/health")


def test_an_address_that_is_taken_is_told_with_the_setting(client: httpx.Client, site: Site, tmp_path: Path) -> None:
    port = client.base_url.port
    second = Site(tmp_path / "second", serve={"http": {"port": port}})

    with pytest.raises(SettingsError, match=f"127.0.0.1:{port}"):
        run_api(second.context())


def test_every_metric_of_the_dashboard_is_exported(client: httpx.Client, site: Site) -> None:
    exported = client.get("/metrics").text
    names = set(re.findall(r"^# TYPE (\S+)", exported, re.MULTILINE))
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    named = {re.sub("_(bucket|sum|count)$", "", name) for expr in asked for name in re.findall(r"iodeep_\w+", expr)}

    assert len(named) >= 12
    assert named <= names


def test_the_overview_adds_up(start: Callable[[Site], httpx.Client], site: Site) -> None:
    site.board = busy_day()
    seen = start(site).get("/api/v1/overview").json()

    assert sum(seen["per_hour"]) == seen["day"]["done"] == seen["counts"]["done"]
    assert sum(reason["jobs"] for reason in seen["refused"]) == seen["day"]["refused"] == seen["counts"]["refused"]
    assert sum(model["jobs"] for model in seen["models"]) == seen["day"]["done"]
    assert seen["day"]["latency_p50_s"] <= seen["day"]["latency_p95_s"]
    assert seen["day"]["overhead_p50_s"] < seen["day"]["latency_p50_s"]
    assert seen["oldest_waiting_s"] > 0


def test_a_day_holds_what_came_on_it() -> None:
    board = busy_day(NOON)
    rows = records_since(board, NOON - timedelta(days=2))
    today, before = NOON.astimezone().date(), NOON.astimezone().date() - timedelta(days=1)

    one, other = day_summary(rows, today), day_summary(rows, before)

    assert one.jobs + other.jobs == 230
    for day in (one, other):
        assert day.done + day.refused + day.failed + day.cancelled + day.open == day.jobs
        assert day.results.get("SEG", 0) == day.done
    assert day_summary(rows, date(2020, 1, 1)).jobs == 0


def test_a_day_may_be_asked_for_by_its_date(client: httpx.Client) -> None:
    assert client.get("/api/v1/summary?day=2026-11-20").json()["day"] == "2026-11-20"
    assert client.get("/api/v1/summary?day=0001-01-01").json()["jobs"] == 0
    assert client.get("/api/v1/summary?day=yesterday").status_code == 422


def test_what_is_still_open_has_no_latency() -> None:
    board = busy_day(NOON)
    running = [row for row in board.list(limit=500) if not row.state.final]

    assert running
    assert span_of(running, NOON - timedelta(days=1)).latency_p50_s is None
    assert percentile([], 50) is None
    assert percentile([4.0], 95) == 4.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0


def test_the_audit_log_is_read_and_that_it_was_read_is_recorded(client: httpx.Client, site: Site) -> None:
    log = open_audit(DataFolders(site.root), "listener")
    log.record(AuditEvent(EventKind.EXPORT, user="PACS", patient_id="P1", study_instance_uids=(STUDY,)))
    log.record(AuditEvent(EventKind.QUERY, user="VIEWER"))

    (entry,) = client.get("/api/v1/audit", params={"kind": "export", "patient_id": "P1"}).json()["items"]

    assert (entry["user"], entry["study_instance_uids"]) == ("PACS", [STUDY])
    assert [event.detail for event in site.audit.events] == ["audit log"]


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline(client: httpx.Client) -> None:
    page = client.get("/console", follow_redirects=True)
    policy = page.headers["Content-Security-Policy"]

    assert page.status_code == 200
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|https?://", page.text) == []
    for name in re.findall(r'(?:src|href)="([\w.]+)"', page.text):
        assert client.get(f"/console/{name}").status_code == 200
    assert client.get("/console/../app.py").status_code == 404
    assert client.get("/console/__init__.py").status_code == 404
