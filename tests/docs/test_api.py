"""The page of the API names every address with its role, and its commands do what it shows."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from iodeep.serve_settings import UserRole
from iodeep.service.access.api_keys import ApiKeys
from iodeep.service.api import create_app
from tests.docs.commands import Command, missing_line
from tests.docs.markdown import ROOT, blocks, table_rows
from tests.unit.service.api.conftest import running
from tests.unit.service.api.site import Site

PAGE = ROOT / "docs" / "api.md"


def commands() -> Iterator[Command]:
    """Each command of the page, with the output that it shows."""
    for block in blocks(PAGE, "console"):
        for text in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, *output = text.splitlines()
            yield Command(str(block), command, output=tuple(output))


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where the page's commands find a service, and a key to it."""
    site = Site(tmp_path / "data", serve={"http": {"port": 0}})
    _, key = ApiKeys(site.root / "api-keys.json").add("page", frozenset({UserRole.CLINICIAN}), None)
    with running(site) as client:
        yield {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "IODEEP_URL": str(client.base_url).rstrip("/"),
            "IODEEP_API_KEY": key,
        }


def test_the_commands_of_the_page_print_what_it_shows(environment: dict[str, str], tmp_path: Path) -> None:
    shown = list(commands())
    mark = "-- the next command --"
    script = "shopt -s expand_aliases\n" + "\n".join(f"{each.text}\necho; echo '{mark}'" for each in shown)

    ran = subprocess.run(
        ["bash"], input=script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=True
    )

    printed = ran.stdout.split(mark)
    assert len(shown) >= 18
    assert len(printed) == len(shown) + 1
    for command, output in zip(shown, printed, strict=False):
        assert (line := missing_line(command, output)) is None, f"{command.text}\nnot printed: {line}\n{output}"


def test_every_address_is_on_the_page_with_its_role(tmp_path: Path) -> None:
    described = create_app(Site(tmp_path).context()).openapi()["paths"]
    addresses = {
        f"{method.upper()} {path}": each for path, methods in described.items() for method, each in methods.items()
    }
    rows = {
        address: cells[1] for cells in table_rows(PAGE) for address in re.findall(r"`((?:GET|POST) [^`]+)`", cells[0])
    }

    assert rows.keys() == addresses.keys()
    assert {address for address, role in rows.items() if role == "none"} == {
        address for address, each in addresses.items() if "security" not in each
    }


@pytest.mark.parametrize("role", [UserRole.VIEWER, UserRole.CLINICIAN])
def test_each_role_may_what_the_page_says(role: UserRole, tmp_path: Path) -> None:
    site = Site(tmp_path, serve={"http": {"port": 0}, "access": {"anonymous": role.value}})
    ranks = ["none", "viewer", "clinician", "administrator"]
    names = {"job_id": "0" * 32, "uid": "1.2", "study": "1.2", "series": "1.2"}
    with running(site) as client:
        for cells in table_rows(PAGE):
            for method, path in re.findall(r"`(GET|POST) ([^`]+)`", cells[0]):
                if path == "/api/v1/events":
                    path += "?seconds=0"
                answer = client.request(method, path.format(**names), json={})
                refused = ranks.index(cells[1]) > ranks.index(role.value)
                assert (answer.status_code == httpx.codes.FORBIDDEN) is refused, path
