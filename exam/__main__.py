"""`python -m exam generate|healthy|report`: which random faults are found, and what is said of no fault."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from exam.report import read, report
from exam.stages import STAGES
from exam.trial import Healthy, Record, Warm, is_open, tried
from opv2v_doctor.scratch import scratch


def main() -> int:
    chosen = _arguments()
    if chosen.command == "report":
        for line in report([each for path in chosen.files for each in read(path)], full=chosen.full):
            _say(line)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and end what was started
    with scratch("exam") as folder:
        healthy = Healthy(folder)
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
    records = {each["number"]: each for each in read(output) if each["seed"] == chosen.seed}
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
            stages, earlier = _stages(chosen.stages), records.get(number)
            goes_on = earlier if earlier and is_open(earlier, stages) else None
            return tried(chosen.seed, number, healthy, warm, place, stages, goes_on)
        finally:
            warms.put(warm)

    try:
        with output.open("a", encoding="utf-8") as file:
            for record in _worked(work, chosen, records):
                file.write(json.dumps(record) + "\n")
                file.flush()
                _say(_line(record))
    finally:
        for warm in started:
            warm.end()
    for line in report([*records.values()]):
        _say(line)
    return 0


def _worked(
    work: Callable[[int], Record], chosen: argparse.Namespace, records: dict[int, Record]
) -> Iterator[Record]:
    """First what was kept and is still open, then new numbers until enough are kept; as they come."""
    still_open = [number for number, each in records.items() if is_open(each, _stages(chosen.stages))]
    waiting = still_open if chosen.only is None else [chosen.only]
    new = (number for number in count() if number not in records and chosen.only is None)
    running: set[Future[Record]] = set()
    with ThreadPoolExecutor(chosen.workers) as pool:
        while True:
            while len(running) < chosen.workers and waiting:
                running.add(pool.submit(work, waiting.pop(0)))
            kept = sum(each["effect"] == "kept" for each in records.values())
            while (
                len(running) < chosen.workers and chosen.only is None and kept + len(running) < chosen.number
            ):
                running.add(pool.submit(work, next(new)))
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                record = future.result()
                records[record["number"]] = record
                yield record


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
