"""The program: `python -m opv2v_doctor`, and what the command `opv2v-doctor` executes once it is isolated."""

import os
import sys

try:
    from opv2v_doctor.cli import main
except ModuleNotFoundError:  # executed as a file, of a package that only PYTHONPATH led to
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    from opv2v_doctor.cli import main

if __name__ == "__main__":  # the processes of an audit import this file, too
    main()
