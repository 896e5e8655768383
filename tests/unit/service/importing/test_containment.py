"""Whatever runs while a source is read reaches its copy, Python's own files and one folder, and nothing else."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from iodeep.errors import InputError
from iodeep.inference import containment_kernel as kernel
from iodeep.service.importing.contained import ImportProcess
from iodeep.settings import RunSettings
from tests.unit.inference import test_containment as inference
from tests.unit.inference.test_containment import Ground, as_each_user
from tests.unit.service.importing.hostile import outcomes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the containment is Linux's")
ground = inference.ground
LIMITS = RunSettings(threads=1, memory_mib=4096, seconds=120)
PYTHONS_OWN = {"code made at run time": "frameworks make code at run time"}
ATTACKS = {name: code for name, code in inference.EVERYTHING.items() if name not in PYTHONS_OWN} | {
    "another program in its place": "os.execv('/bin/true', ['true'])",
    "writing to the source": "open(source + '/given', 'w')",
    "a file beside": "open(os.path.dirname(out) + '/request.json', 'w')",
    "a link out of the folder": "os.symlink(secret, out + '/link')",
    "a hard link": "os.link(secret, out + '/hard')",
    "whose a file is": "os.chmod(out, 0o777)",
    "Python itself": "open(os.__file__, 'a')",
}
ITS_OWN = {
    "reading the source": "assert open(source + '/given').read() == 'weights'",
    "writing a file": "open(out + '/new', 'w').write('here')",
    "a folder": "os.mkdir(out + '/folder')",
    "replacing": "open(out + '/a', 'w').close(); os.rename(out + '/a', out + '/b')",
    "importing late": "import wave, decimal, sqlite3",
    "a thread": "each = threading.Thread(target=print)\neach.start()\neach.join()",
}


@as_each_user
def test_what_reads_a_source_reaches_nothing_else(ground: Ground, stranger: bool) -> None:
    found = outcomes(ATTACKS, ground.scope, stranger=stranger)
    assert [name for name, outcome in found.items() if outcome not in ("EPERM", "EACCES", "ENOENT", "ENOSYS")] == []
    assert ground.reached() == []


@as_each_user
def test_the_same_attacks_succeed_where_nothing_is_contained(ground: Ground, stranger: bool) -> None:
    """Otherwise the other test would show nothing."""
    attacks = inference.FILES | inference.NETWORK_CALLS
    found = outcomes(attacks, ground.scope, stranger=stranger, free=True)
    expected = {"its own memory as a file": "EACCES"} if stranger else {}
    assert {name: outcome for name, outcome in found.items() if outcome != "done"} == expected
    assert ground.reached() == ["marker", "tcp", "udp", "unix", "victim"]


@as_each_user
def test_it_reads_its_source_and_libraries_and_writes_to_its_folder(ground: Ground, stranger: bool) -> None:
    wanted = dict(ITS_OWN)
    if stranger and not kernel.open_to_nobody([sys.base_prefix]):
        del wanted["importing late"]
    assert set(outcomes(wanted, ground.scope, stranger=stranger).values()) == {"done"}


SCRIPTS = {
    "a marker": "torch.from_file(MARKER, True, 8).sum() + image",
    "a secret": "torch.from_file(SECRET, False, 1).sum() + image",
}
"""TorchScript's own operators open files."""
_MODULE = """
import torch
from typing import Final

class Module(torch.nn.Module):
    MARKER: Final[str]
    SECRET: Final[str]

    def __init__(self, marker: str, secret: str) -> None:
        super().__init__()
        self.MARKER, self.SECRET = marker, secret

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return {expression}
"""


def program(name: str, ground: Ground, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TorchScript that does what its name says when it is called."""
    import torch

    expression = SCRIPTS[name].replace("MARKER", "self.MARKER").replace("SECRET", "self.SECRET")
    module_name = f"odd_{name.split()[1]}_{folder.name}".replace("-", "_")
    (folder / f"{module_name}.py").write_text(_MODULE.format(expression=expression))
    monkeypatch.syspath_prepend(folder)
    made = import_module(module_name).Module(ground.scope["marker"], ground.scope["secret"])
    script: Any = torch.jit.script
    script(made).save(str(folder / "odd.ts"))
    return folder / "odd.ts"


@pytest.mark.slow
@pytest.mark.parametrize("stranger", [False])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # it is what is imported
@pytest.mark.parametrize("name", SCRIPTS)
def test_torchscript_opens_no_file(
    ground: Ground, stranger: bool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    path = program(name, ground, tmp_path, monkeypatch)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(InputError, match=r"could not be run or exported"):
        ImportProcess(path, scratch, LIMITS).read(CARD)
    assert ground.reached() == []
    load: Any = torch.jit.load
    load(str(path))(torch.zeros(1))  # elsewhere it would have
    assert ground.reached() == (["marker"] if name == "a marker" else [])


CARD = {
    "inputs": [{}],
    "preprocessing": [],
    "network": {"context_slices": 0, "dimensions": "3D", "inference": {"mode": "patches", "size": [4, 4, 4]}},
}
"""As much of one as an export looks at."""
