"""Our launcher on the stub training, to kill: RUN RANKS EPOCHS SECONDS FAULT [resume | notify COMMAND]."""

import sys
from dataclasses import replace
from pathlib import Path

from opv2v_doctor.atomic import NotWritten
from opv2v_doctor.runs.alarms import Notifier
from opv2v_doctor.runs.directory import claim, number_of_launch, output_folder
from opv2v_doctor.runs.launcher import Plan, launch
from opv2v_doctor.runs.output import OutputLine
from opv2v_doctor.runs.record import Stamp, read_run
from opv2v_doctor.runs.stamp import write_stamp
from opv2v_doctor.settings import MaskSettings
from opv2v_doctor.user_error import UsageError

STUB = Path(__file__).parent


class Terminal:
    """Prints all."""

    def begin(self, epochs: int | None) -> None:
        self.say("begin")

    def line(self, line: OutputLine) -> None:
        sys.stdout.write(f"{line.rank}: {line.text}\n")
        sys.stdout.flush()

    def event(self, event: object) -> None:
        """Not shown."""

    def say(self, words: str) -> None:
        sys.stdout.write(f"doctor: {words}\n")
        sys.stdout.flush()


def main(run: Path, ranks: int, epochs: str, seconds: str, fault: str, *more: str) -> int:
    """Claim, stamp, launch."""
    resume = more == ("resume",)
    earlier = read_run(run) if resume else None
    with claim([run], resume=resume) as place:
        output = output_folder(run, number_of_launch(earlier))
        training = [sys.executable, "-S", str(STUB / "train.py"), str(run), epochs, seconds, fault]
        agent = [sys.executable, "-S", str(STUB / "agent.py"), str(output), str(ranks), *training]
        command = agent if ranks > 1 else training
        files = {"config.yaml": b"stub: true\n", "diff.patch": b"", "packages.txt": b"x" * 5_000}
        stamp = Stamp(argv=tuple(command), world_size=ranks)
        made = write_stamp(place, stamp, {**files, "report.json": b"{}"}, earlier)
        plan = Plan(command=command, cwd=run, env={}, watch={}, ranks=range(ranks), patience=2.0, silence=1.0)
        if more[:1] == ("notify",):
            told = MaskSettings()
            plan = replace(plan, accompany=lambda run, say: [Notifier(more[1], told, run, say)])
        return launch(plan, made, place.lock, Terminal()).last.exit_code or 0


if __name__ == "__main__":
    try:
        words = sys.argv[1:]
        sys.exit(main(Path(words[0]), int(words[1]), *words[2:]))
    except (UsageError, NotWritten) as problem:
        sys.exit(f"refused: {problem}")
