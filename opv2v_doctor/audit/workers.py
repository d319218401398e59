"""Workers: who reads the chunks: this process, several, or a Dask cluster. All run the same function."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import Any

from opv2v_doctor.audit.file_record import FileReading, Record
from opv2v_doctor.audit.reading import Chunk, read_chunk
from opv2v_doctor.user_error import UsageError

PATIENCE = 30  # seconds for a scheduler to answer
AHEAD = 4  # chunks that wait for each worker: enough to keep it busy, few enough to stay small

Read = Callable[[Chunk], list[Record]]
Readers = Callable[[Iterable[Chunk]], Iterator[list[Record]]]


def readers(workers: int, scheduler: str | None = None, read: Read = read_chunk) -> Readers:
    """Who reads: a cluster where one is named, else as many processes as workers; one is this process."""
    if scheduler:
        return lambda chunks: _on_cluster(chunks, scheduler, read)
    if workers > 1:
        return lambda chunks: _in_processes(chunks, workers, read)
    return lambda chunks: map(read, chunks)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """A process of ours ends with us, and says nothing: what libraries say, a file's record says better."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    be_modest()


def _end_with_parent() -> None:
    """Also where that was killed: the pool's own queues stay open as long as one worker waits at them."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def be_modest() -> None:
    """One thread a worker: the workers share the cores, not OpenCV's threads."""
    import cv2

    cv2.setNumThreads(1)


def _in_processes(chunks: Iterable[Chunk], workers: int, read: Read) -> Iterator[list[Record]]:
    """Records as they come. A file that kills its reader is named; the rest is read on."""
    source = iter(chunks)
    pool = _pool(workers)

    def submit(chunk: Chunk) -> Future[list[Record]]:
        return pool.submit(read, chunk)  # whichever pool is alive then

    waiting: dict[Future[list[Record]], Chunk] = {}
    try:
        while _fill(waiting, source, workers * AHEAD, submit):
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            broken = [waiting.pop(future) for future in done if _broke(future)]
            for future in done:
                if waiting.pop(future, None) is not None:
                    yield future.result()
            if broken:
                pool.shutdown(wait=False, cancel_futures=True)
                yield from _one_by_one([*broken, *waiting.values()], read)
                waiting.clear()
                pool = _pool(workers)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _fill(
    waiting: dict[Any, Chunk], source: Iterator[Chunk], most: int, submit: Callable[[Chunk], Any]
) -> bool:
    """Hand out chunks until enough wait; whether any does."""
    while len(waiting) < most and (chunk := next(source, None)) is not None:
        waiting[submit(chunk)] = chunk
    return bool(waiting)


def _broke(future: Future[list[Record]]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _one_by_one(chunks: Iterable[Chunk], read: Read) -> Iterator[list[Record]]:
    """Records of chunks whose reader died, halved until the file that kills stands alone."""
    stack, pool = list(chunks), _pool(1)
    while stack:
        chunk = stack.pop()
        try:
            yield pool.submit(read, chunk).result()
        except BrokenProcessPool:
            pool.shutdown(wait=False)
            pool = _pool(1)
            if len(chunk.files) == 1:
                yield _deadly(chunk)
            else:
                middle = len(chunk.files) // 2
                stack += [Chunk(chunk.dataset, part) for part in (chunk.files[:middle], chunk.files[middle:])]
    pool.shutdown()


def _on_cluster(chunks: Iterable[Chunk], scheduler: str, read: Read) -> Iterator[list[Record]]:
    """Records from a Dask cluster, which reads again elsewhere what a dying worker had in hand."""
    client = _client(scheduler)
    source, waiting = iter(chunks), dict[Any, Chunk]()
    with client:
        client.run(be_modest)
        while _fill(waiting, source, _room(client), lambda chunk: client.submit(read, chunk, pure=False)):
            done, _ = _wait(waiting)
            for future in done:
                yield _answer(future, waiting.pop(future))


def _client(scheduler: str) -> Any:
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise UsageError("--scheduler needs Dask: pip install 'opv2v-doctor[cluster]'") from None
    try:
        return distributed.Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as problem:
        raise UsageError(f"--scheduler {scheduler}: no cluster answers: {problem}") from None


def _room(client: Any) -> int:
    """How many chunks the cluster shall hold now: workers may come and go."""
    threads: dict[str, int] = client.nthreads()
    return AHEAD * max(1, sum(threads.values()))


def _wait(waiting: Iterable[Any]) -> Any:
    return import_module("distributed").wait(list(waiting), return_when="FIRST_COMPLETED")


def _answer(future: Any, chunk: Chunk) -> list[Record]:
    """A chunk's records; where it killed worker after worker, a problem for each of its files."""
    import distributed

    try:
        records: list[Record] = future.result()
    except distributed.KilledWorker:
        return _deadly(chunk)
    return records


def _deadly(chunk: Chunk) -> list[Record]:
    return [(*file, *FileReading(problem="the process that read it died", final=0)) for file in chunk.files]
