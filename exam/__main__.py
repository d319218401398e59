"""`python -m exam generate|healthy|report`: which random faults are found, and what is said of no fault."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from exam.report import read, report
from exam.stages import STAGES
from exam.trial import Healthy, Record, Warm, tried


def main() -> int:
    chosen = _arguments()
    if chosen.command == "report":
        for line in report([each for path in chosen.files for each in read(path)], full=chosen.full):
            _say(line)
        return 0
    with tempfile.TemporaryDirectory(prefix="exam-") as folder:
        healthy = Healthy(Path(folder))
        healthy.prepare()
        if chosen.command == "healthy":
            from exam.healthy import alarmed

            code: int = alarmed(healthy, chosen.only, chosen.output, _stages(chosen.stages), _say)
            return code
        return _generate(healthy, chosen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m exam", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="random faults, each examined")
    generate.add_argument("--seed", type=int, default=0, help="another one makes other faults")
    generate.add_argument("--number", type=int, default=40, help="how many are kept (default: 40)")
    generate.add_argument("--only", type=int, help="the mutation of this number only")
    generate.add_argument("--workers", type=int, default=1, help="how many at once")
    for command in (generate, commands.add_parser("healthy", help="variations that are no faults")):
        command.add_argument(
            "--output", type=Path, help="a file of JSON lines; one that is there is gone on with"
        )
        command.add_argument("--stages", default=",".join(STAGES), help=f"of {', '.join(STAGES)}")
        if command is not generate:
            command.add_argument("--only", nargs="+", default=[], help="these variations")
    table = commands.add_parser("report", help="tables of what was found")
    table.add_argument("files", type=Path, nargs="+")
    table.add_argument("--full", action="store_true", help="tell what was said of each that was found")
    return parser.parse_args()


def _stages(text: str) -> list[str]:
    return [stage for stage in STAGES if stage in text.split(",")]


def _generate(healthy: Healthy, chosen: argparse.Namespace) -> int:
    """Mutation after mutation until enough are kept; a line each, also of those that are not."""
    output = chosen.output or Path(f"exam-{chosen.seed}.jsonl")
    records = [each for each in read(output) if each["seed"] == chosen.seed]
    warms: SimpleQueue[Warm] = SimpleQueue()
    started = [Warm() for _ in range(chosen.workers)]
    for warm in started:
        warms.put(warm)
    _say("measuring the healthy trainings ...")
    healthy.measure(started[0])

    def work(number: int) -> Record:
        warm = warms.get()
        try:
            place = healthy.folder / f"trial-{number}"
            return tried(chosen.seed, number, healthy, warm, place, _stages(chosen.stages))
        finally:
            warms.put(warm)

    try:
        with output.open("a", encoding="utf-8") as file:
            for record in _worked(work, chosen, {each["number"] for each in records}, records):
                file.write(json.dumps(record) + "\n")
                file.flush()
                _say(_line(record))
    finally:
        for warm in started:
            warm.end()
    for line in report(records):
        _say(line)
    return 0


def _worked(
    work: Callable[[int], Record], chosen: argparse.Namespace, done: set[int], records: list[Record]
) -> Iterator[Record]:
    """The records of new numbers, as they come, until enough are kept."""
    numbers = iter([chosen.only]) if chosen.only is not None else (n for n in count() if n not in done)
    running: set[Future[Record]] = set()
    with ThreadPoolExecutor(chosen.workers) as pool:
        while True:
            kept = sum(each["effect"] == "kept" for each in records)
            while len(running) < chosen.workers and kept + len(running) < chosen.number:
                number = next(numbers, None)
                if number is None:
                    break
                running.add(pool.submit(work, number))
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                records.append(future.result())
                yield records[-1]


def _line(record: Record) -> str:
    place = f"{record['path']}:{record['line']}"
    marks = " ".join(name for name in ("named", "placed") if record.get(name))
    codes = " ".join(sorted({each["code"] for each in record.get("said", ())}))
    verdict = record.get("verdict", record["effect"])
    stage = record.get("stage", "")
    beginning = f"{record['number']:4} {record['kind']:24} {place:52}"
    return f"{beginning} {verdict} {stage} {marks} {codes} ({record['seconds']} s)"


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
