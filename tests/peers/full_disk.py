"""On a disk of 4 MB: C-STORE until it is full, what is answered then, and what is there. Prints "all well" in the end.

Run by ``test_listener_faults`` in a mount namespace of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydicom import dcmread

from tests.unit.pacs_bridge.listener.harness import associate, ct_slices, data_set, echo, running, store


def main(small: Path, sent: Path, least_free: int) -> None:
    paths = ct_slices(sent, 80, spacing=(1.0, 1.0, 1.0))
    paths += ct_slices(sent / "more", 600, name="more")
    with running(small, least_free=least_free) as run, associate(run.port) as association:
        statuses = [store(association, path) for path in paths]
        taken = [path for path, (status, _) in zip(paths, statuses, strict=True) if status == 0]
        refused = [comment for status, comment in statuses if status == 0xA700]
        assert len(taken) + len(refused) == len(paths), set(statuses)
        assert len(taken) > 50, len(taken)
        assert refused
        assert ("least_free" if least_free else "disk") in refused[0], refused[0]
        assert echo(association) == 0
        assert len(run.files()) == len(taken)
        for path in taken:
            header, content = data_set(path)
            kept = run.spool.place(header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID)
            assert data_set(kept)[1] == content
            assert dcmread(kept).SOPInstanceUID == header.SOPInstanceUID
        for kept in run.files()[
            :60
        ]:  # more than the disk may take of itself while its free space is not asked for anew
            run.room.give(kept.stat().st_size)
            kept.unlink()
        again = [path for path, (status, _) in zip(paths, statuses, strict=True) if status][:5]
        run.until(lambda: store(association, again[0])[0] == 0)
        assert [store(association, path)[0] for path in again] == [0] * 5
    print("all well")  # noqa: T201 - read by the test


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
