"""Serve questions in the training interpreter: JSON lines in and out, on descriptors of their own.

Started as `python inside/__main__.py REQUESTS_FD ANSWERS_FD SCRIPT FOLDER`, in the launch's directory and
environment. `sys.path[0]` becomes that folder, as it is for `python SCRIPT` or `python -m`: imports resolve
as there.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import importlib.util
import json
import os
import signal
import sys
import threading
from typing import Any, Callable

PACKAGE = "opv2v_doctor_inside"
HERE = os.path.dirname(os.path.abspath(__file__))


def load_package() -> None:
    """Make this folder importable as a package under a name of its own, without touching sys.path."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(HERE, "__init__.py"), submodule_search_locations=[HERE]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request; an exception of the examined code is an answer too."""
    module = importlib.import_module(PACKAGE + "." + request["module"])
    try:
        question = getattr(module, request["question"])
        return {"answer": question(**request["arguments"])}
    except (Exception, SystemExit) as problem:
        frames_of = importlib.import_module(PACKAGE + ".frames").frames_of
        frames = frames_of(problem)
        cause = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
        if cause is not None:
            frames += frames_of(cause)
        return {
            "raised": {
                "type": type(problem).__name__,
                "message": str(problem),
                "file": getattr(problem, "filename", None) if isinstance(problem, SyntaxError) else None,
                "line": getattr(problem, "lineno", None) if isinstance(problem, SyntaxError) else None,
                "frames": frames,
            }
        }


def read_requests(descriptor: int, arrived: Callable[[Any], None]) -> None:
    """Hand each request over; when the doctor is gone, so are we, whatever we were doing."""
    with os.fdopen(descriptor, encoding="utf-8") as requests:
        for line in requests:
            arrived(json.loads(line))
    os._exit(0)


def import_ahead() -> None:
    """Import torch while nobody asks yet: it is most of the wait for the first answer that needs it."""
    with contextlib.suppress(Exception):  # who needs it will say so
        importlib.import_module("torch")


def say_where() -> None:
    """Print where we are when we crash, and when the doctor, which waited long enough, asks."""
    with contextlib.suppress(Exception):  # no stderr: then nobody can be told
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR2, all_threads=False)


def main() -> None:
    import queue

    requests, answers, script, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    os.set_inheritable(requests, False)
    os.set_inheritable(answers, False)
    sys.argv = [script]
    if not getattr(sys.flags, "safe_path", False):  # PYTHONSAFEPATH: no folder of a script is in front
        sys.path[0] = folder
    say_where()
    gc.set_threshold(100_000)  # importing torch makes a million objects that stay: a sixth of that time
    load_package()
    threading.Thread(target=import_ahead, daemon=True).start()
    waiting: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=read_requests, args=(requests, waiting.put), daemon=True).start()
    with os.fdopen(answers, "w", encoding="utf-8") as out:

        def send(message: dict[str, Any]) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        progress = importlib.import_module(PACKAGE + ".progress")
        progress.report_to(lambda *told: send({"progress": told}))
        while True:
            send(answer(waiting.get()))


if __name__ == "__main__":
    main()
