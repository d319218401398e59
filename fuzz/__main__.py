"""`python -m fuzz SUBJECT`: mutated real files; 1 where one crashed, hung or ran."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from fuzz import SUBJECTS, source, subject
from fuzz.campaign import campaign
from fuzz.trials import tried


def main() -> int:
    chosen = _arguments()
    if chosen.guided:
        from fuzz.guided import guided

        return guided(chosen.subject, chosen.seconds, chosen.seed, chosen.findings)
    found = subject(chosen.subject)
    if chosen.replay or chosen.only is not None:
        contents = [path.read_bytes() for path in chosen.replay]
        if chosen.only is not None:
            contents.append(found.mutated(found.seeds(), source(chosen.seed, chosen.only)))
        with tempfile.TemporaryDirectory() as folder:
            trials = [tried(found, content, Path(folder) / "trial") for content in contents]
        for trial in trials:
            ended = trial.problem or "fine"
            _say(f"{trial.size} bytes, {trial.seconds:.2f} s of CPU: {ended}\n{trial.details}")
        return int(any(trial.problem for trial in trials))
    tally = campaign(found, chosen.seconds, chosen.seed, chosen.findings, _say)
    _say(f"{found.name}, seed {chosen.seed}: {tally}")
    return int(bool(tally.findings) or not tally.inputs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="another one makes other inputs")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="where inputs are kept")
    parser.add_argument("--guided", action="store_true", help="guided by coverage: needs atheris")
    parser.add_argument("--replay", type=Path, nargs="+", default=[], help="examine these files only")
    parser.add_argument("--only", type=int, help="examine the input of this number only")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
