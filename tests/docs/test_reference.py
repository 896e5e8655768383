"""What the code has is what the pages say: commands, exit codes, settings, the card's vocabulary, the rooms."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import iodeep
import pacs_bridge
from iodeep.card import ModelCard
from iodeep.card.processing import Postprocessing, Preprocessing
from iodeep.errors import ExitCode
from iodeep.settings import PacsSettings, RunSettings, Settings, TlsSettings
from tests.docs.cli_reference import PAGE, commands, parameters, with_reference
from tests.docs.markdown import ROOT, table_rows

DOCS = ROOT / "docs"


def test_the_commands_page_is_what_the_commands_say() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page == with_reference(page), "run: python -m tests.docs.cli_reference"


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_is_documented(name: str) -> None:
    """Beside the comparison above: it would hold too for a page whose reference was cut out with its comments."""
    section = PAGE.read_text(encoding="utf-8").partition(f"### iodeep {name}\n")[2].partition("### ")[0]

    for parameter in parameters(commands()[name]):
        assert parameter.row in section


def test_every_exit_code_is_documented_with_its_number() -> None:
    documented = {(cells[0], cells[1]) for cells in table_rows(PAGE) if len(cells) > 2 and cells[0].isdigit()}

    assert documented == {(str(int(code)), code.name) for code in ExitCode}


@pytest.mark.parametrize(
    "code", [code for code in ExitCode if code not in (ExitCode.OK, ExitCode.USAGE, ExitCode.CANCELLED)]
)
def test_administrators_are_told_what_each_exit_code_asks_for(code: ExitCode) -> None:
    first = {cells[0] for cells in table_rows(DOCS / "for-administrators.md")}

    assert f"{int(code)} {code.name}" in first


def _models(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """The model and every model that its fields hold."""
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in model.model_fields.values():
        for each in _classes(field.annotation):
            if issubclass(each, BaseModel):
                yield from _models(each, seen)


def _classes(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes(argument)


SETTINGS = list(_models(Settings, set()))


def test_the_settings_are_walked_to_the_end() -> None:
    assert {Settings, PacsSettings, TlsSettings, RunSettings} <= set(SETTINGS)


@pytest.mark.parametrize("model", SETTINGS, ids=lambda model: model.__name__)
def test_every_setting_is_documented(model: type[BaseModel]) -> None:
    page = DOCS / "settings.md"
    rows = {name for cells in table_rows(page) for name in re.findall(r"`(\w+)`", cells[0])}
    leaves = {
        name
        for name, field in model.model_fields.items()
        if name == "rules" or not any(issubclass(each, BaseModel) for each in _classes(field.annotation))
    }

    assert leaves <= rows
    for name in set(model.model_fields) - leaves:
        assert re.search(rf"\[(\w+\.)*{name}\b", page.read_text(encoding="utf-8")), name


@pytest.mark.parametrize("union", [Preprocessing, Postprocessing], ids=["preprocessing", "postprocessing"])
def test_every_step_and_its_parameters_are_documented(union: Any) -> None:
    page = (DOCS / "card.md").read_text(encoding="utf-8")
    steps = [each for each in _classes(union) if issubclass(each, BaseModel)]
    assert len(steps) >= 3

    for step in steps:
        name = get_args(step.model_fields["step"].annotation)[0]
        line = next((line for line in page.splitlines() if f"`{name}`" in line), "")
        for parameter in set(step.model_fields) - {"step"}:
            assert f"`{parameter}`" in line, f"{name}: {parameter}"


def test_every_field_of_the_card_is_documented() -> None:
    page = (DOCS / "card.md").read_text(encoding="utf-8")
    steps = {each for union in (Preprocessing, Postprocessing) for each in _classes(union)}
    models = [model for model in _models(ModelCard, set()) if model not in steps]
    missing = {f"{model.__name__}.{name}" for model in models for name in model.model_fields if not _named(name, page)}

    assert not missing


def _named(name: str, page: str) -> bool:
    return re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", page) is not None


def _rooms(package: Path) -> set[str]:
    folders = {each.name for each in package.iterdir() if (each / "__init__.py").exists()}
    modules = {each.name for each in package.glob("*.py") if not each.name.startswith("_")}
    return folders | modules


def test_the_table_of_rooms_names_every_package() -> None:
    first = " ".join(cells[0] for cells in table_rows(DOCS / "architecture.md"))
    package = Path(iodeep.__file__).parent

    assert {room for room in _rooms(package) if not re.search(rf"\b{re.escape(room)}", first)} == set()
    assert Path(pacs_bridge.__file__).parent.name in first


def test_the_table_of_rooms_goes_up_the_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    heights = {room.strip(): -depth for depth, layer in enumerate(layers) for room in layer.split("|")}
    firsts = [cells[0] for cells in table_rows(DOCS / "architecture.md") if "`iodeep/" in cells[0]]
    rooms = [re.findall(r"`(?:iodeep/)?(\w+)(?:\.py)?`", first) for first in firsts]
    found = [heights[room] for named in rooms for room in named]

    assert found == sorted(found)
