"""A training without torch: steps, checkpoints by rename, events, and the faults that a test asks for."""

import json
import os
import sys
import time
from pathlib import Path

RANK, WORLD_SIZE = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
STEPS = 5


def append(path: Path, **content: object) -> None:
    """One line, one write."""
    with path.open("ab", buffering=0) as file:
        file.write((json.dumps(content) + "\n").encode())


def save(run: Path, epoch: int, step: int) -> None:
    """As the repositories do it: a temporary file, then a rename."""
    content = json.dumps({"epoch": epoch, "step": step, "padding": "x" * 20_000})
    temporary = run / "checkpoint-last.pth.tmp"
    temporary.write_text(content)
    temporary.replace(run / "checkpoint-last.pth")
    append(run / "checkpoints.jsonl", file="checkpoint-last.pth", epoch=epoch, global_step=step)


def main(run: Path, epochs: int, seconds: float, fault: str) -> None:
    """Train from the last checkpoint to the last epoch."""
    last = run / "checkpoint-last.pth"
    found = json.loads(last.read_text()) if last.exists() else {"epoch": -1, "step": 0}
    step = found["step"]
    for epoch in range(found["epoch"] + 1, epochs):
        for number in range(STEPS):
            time.sleep(seconds)
            step += 1
            append(run / "events.jsonl", time=time.time(), rank=RANK, event="beat", epoch=epoch, step=number)
            append(run / f"steps-{RANK}.jsonl", epoch=epoch, step=step, pid=os.getpid())
            if RANK == WORLD_SIZE - 1 and number == 2:
                misbehave(fault)
            sys.stdout.write(
                f"Epoch: [{epoch}]  [{number}/{STEPS}]  eta: 0:00:01  lr: 0.1  loss: 0.5 (1.0)\n"
            )
            sys.stdout.flush()
        if RANK == 0:
            save(run, epoch, step)


def misbehave(fault: str) -> None:
    """The fault of the last rank, in its third step."""
    if fault == "raise":
        run, problem = Path(sys.argv[1]), "ValueError: the loss is NaN"
        append(run / "events.jsonl", time=time.time(), rank=RANK, event="raised", error=problem, frames=[])
        sys.stdout.write("looking into the abyss\n")
        raise ValueError("the loss is NaN")
    if fault == "exit":
        sys.exit(7)
    if fault == "leave":
        os._exit(0)
    if fault == "hang":
        time.sleep(3600)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
