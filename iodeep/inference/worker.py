"""The inference process: started by :mod:`iodeep.inference.engine`, it answers run after run until its parent is gone.

The first message names the modules that its runs may need. It imports them, gives up everything else (see
:mod:`iodeep.inference.containment`), answers with what it could not give up, and only then is told of a network.

``python -m iodeep.inference.worker SOCKET PARENT MEMORY THREADS PROVIDER``: descriptor of the line to the parent, the parent's
process number, bytes of memory, threads of a network (0: one a core), what networks are run with.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from iodeep.errors import IODeepError
from iodeep.inference.confinement import confine
from iodeep.inference.containment import contain

ALWAYS = ("onnx", "google.protobuf.message", "numpy.ma", "numpy.random")
"""What every network needs and nothing has imported before."""


Answer = Callable[[dict[str, Any], list[int], Any, socket.socket], dict[str, Any]]
"""Of a request, its open files, the sessions and the line: the reply."""


def main(arguments: list[str], answer: Answer | None = None) -> None:
    """Confine and contain this process, then answer requests; ``answer``: otherwise than by running networks."""
    *numbers, provider = arguments
    descriptor, parent, memory, threads = map(int, numbers)
    confine(parent, memory)
    # imported only now, so that whatever they start lives within the limits
    from iodeep.inference.messages import Broken, Receiver, send
    from iodeep.inference.onnx_runtime import OnnxRuntime
    from iodeep.inference.pipeline import Sessions
    from iodeep.inference.providers import PROVIDERS
    from iodeep.terms.providers import ProviderName

    line = socket.socket(fileno=descriptor)
    runtime = OnnxRuntime(threads, PROVIDERS[ProviderName(provider)])
    sessions = Sessions(runtime)
    receiver = Receiver(line)
    try:
        first, _ = receiver.next()
        for module in (*ALWAYS, *first["modules"]):
            importlib.import_module(module)
        facts = asdict(runtime.facts())
        send(line, {"contained": contain(parent), "runtime": facts})
        while True:
            request, files = receiver.next()
            send(line, (answer or _reply)(request, files, sessions, line))
    except (Broken, OSError):
        return  # the parent closed the line: nobody is left to tell


def _reply(request: dict[str, Any], files: list[int], sessions: Any, line: socket.socket) -> dict[str, Any]:
    """The answer to one request; the boundary where everything that can go wrong becomes a message."""
    try:
        return {"result": _answered(request, files, sessions, line)}
    except MemoryError:
        return {"memory": True}
    except BrokenPipeError:
        raise
    except IODeepError as error:
        return {"error": error.as_dict()}
    except Exception as error:  # one run: whatever it was, the caller is told and the process is fit for the next
        text = " ".join(str(error).split())[:300]
        return {"error": {"error": "InferenceError", "problem": f"the run failed: {type(error).__name__}: {text}"}}
    finally:
        for descriptor in files:
            os.close(descriptor)


def _answered(request: dict[str, Any], files: list[int], sessions: Any, line: socket.socket) -> dict[str, Any]:
    import numpy as np

    from iodeep.inference.image import Scan
    from iodeep.inference.messages import by_attribute, mapped, send
    from iodeep.inference.network_files import NetworkDescriptors
    from iodeep.inference.pipeline import predict

    volumes, outputs = request["volumes"], request["outputs"]
    scans = {
        volume["name"]: Scan(mapped(descriptor, volume["dtype"], volume["shape"]), np.array(volume["affine"]))
        for volume, descriptor in zip(volumes, files, strict=False)
    }

    networks = {
        told["name"]: NetworkDescriptors(
            told["name"], files[told["model"]], {place: files[number] for place, number in told["external"].items()}
        ).content()
        for told in request["networks"]
    }

    def report(step: str, done: int, total: int | None, unit: str) -> None:
        send(line, {"progress": [step, done, total, unit]})

    answer = predict(
        by_attribute(request["card"]),
        networks,
        scans,
        sessions,
        probabilities=request["probabilities"],
        report=report,
    )
    for output, descriptor in zip(outputs, files[len(volumes) :], strict=False):
        np.copyto(mapped(descriptor, output["dtype"], output["shape"]), getattr(answer, output["name"]), casting="no")
    return {
        "engine": answer.engine,
        "heads": [head.tolist() for head in answer.heads],
        "seconds": answer.seconds,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
