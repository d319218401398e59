"""The command line. It isolates its process before it imports anything (see `isolation.py`)."""

import sys


def main() -> None:
    """Run the program, isolated from what it examines."""
    from opv2v_doctor.isolation import NO_ANSWER, isolate

    isolate()
    try:
        from opv2v_doctor.cli.program import main as run

        run()
    except ModuleNotFoundError as problem:
        sys.stderr.write(
            f"opv2v-doctor: {problem}: install it for {sys.executable}; PYTHONPATH and the working directory "
            "are not searched, since they may lead into the repository that is examined\n"
        )
        sys.exit(NO_ANSWER)
