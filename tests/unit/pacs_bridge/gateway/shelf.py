"""An archive in a folder, behind the archive port: it counts what it is asked, and waits or fails as a test has it."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from pydicom import dcmread

from iodeep.errors import ArchiveError, CancelledError
from iodeep.ports import Attributes, Cancellation, EchoReply, Level, Progress, ProgressSink, StoreReport, Wanted
from iodeep.ports import no_progress as nothing
from pacs_bridge.matching import dataset_attributes, fitting_answers, keywords_of
from pacs_bridge.part10 import read_instance


@dataclass
class Shelf:
    """``unknown``: return keys that it leaves empty and doesn't match, as many archives do."""

    folder: Path
    unknown: tuple[str, ...] = ()
    asked: Counter[str] = field(default_factory=Counter)
    closed: int = 0
    name: str = "shelf"
    during_fetch: Callable[[int], None] = lambda _: None
    before_store: Callable[[Path], None] = lambda _: None
    lose: bool = False
    count: threading.Lock = field(default_factory=threading.Lock)

    def echo(self) -> EchoReply:
        return EchoReply(0.0, "shelf")

    def find(self, level: Level, match: Attributes, include: Sequence[str] = ()) -> list[Attributes]:
        self._note(f"find {level}")
        keywords = keywords_of(level, match, include)
        known = [keyword for keyword in keywords if keyword not in self.unknown]
        answers = []
        for path in sorted(self.folder.glob("*.dcm")):
            dataset = dcmread(path, stop_before_pixels=True)
            answers.append(dict.fromkeys(keywords, "") | dataset_attributes(dataset, known))
        return fitting_answers(level, answers, match)

    def fetch(
        self, wanted: Wanted, into: Path, *, progress: ProgressSink = nothing, cancel: Cancellation | None = None
    ) -> list[Path]:
        self._note("fetch one" if wanted.instances else "fetch series")
        staging = into / ".incoming-shelf"
        staging.mkdir(parents=True, exist_ok=True)
        done = 0
        for path in sorted(self.folder.glob("*.dcm")):
            instance = read_instance(path)
            if (instance.study, instance.series) != (wanted.study, wanted.series):
                continue
            if wanted.instances and instance.uid not in wanted.instances:
                continue
            self.during_fetch(done)
            if cancel is not None and cancel.is_set():
                shutil.rmtree(into)
                raise CancelledError("fetching was cancelled")
            shutil.copy(path, staging / "part")
            (staging / "part").rename(staging / f"{instance.uid}.dcm")
            done += path.stat().st_size
            progress(Progress("fetch", done, None, "bytes"))
        return [path.rename(into / path.name) for path in sorted(staging.iterdir())]

    def store(
        self, paths: Sequence[Path], *, progress: ProgressSink = nothing, cancel: Cancellation | None = None
    ) -> StoreReport:
        self._note("store")
        for path in paths:
            self.before_store(path)
            if not self.lose:
                shutil.copy(path, self.folder / f"{read_instance(path).uid}.dcm")
        return StoreReport(len(paths), 0, 0.0)

    def accepted(self, sop_class_uids: Sequence[str]) -> frozenset[str]:
        return frozenset(sop_class_uids)

    def verify_stored(self, paths: Sequence[Path], *, progress: ProgressSink = nothing) -> None:
        raise ArchiveError("not asked in these tests")

    def close(self) -> None:
        self.closed += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _note(self, what: str) -> None:
        with self.count:
            self.asked[what] += 1
