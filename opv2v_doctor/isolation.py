"""Isolation: the doctor's own processes import from where Python is installed, never from what is examined.

`PYTHONPATH` often holds the examined repository, and `python -m` puts the working directory first.
This module imports what every Python has already: anything else could come from the repository.
"""

import os
import sys

PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 (pathlib is a file)
PROGRAM = os.path.join(PACKAGES, "opv2v_doctor", "__main__.py")  # noqa: PTH118
SOURCES = ("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX")  # of modules, for Python
RESTARTED = "_OPV2V_DOCTOR_RESTARTED"  # our process id: exec keeps it, a child has another
NO_ANSWER = 3


def isolate() -> None:
    """Return where this process imports nothing of what is examined; else begin the program anew in it.

    A working directory on the path is only taken off. What the environment says, Python has read already: a
    process that starts with -E does not. The environment itself stays, for the training interpreter.
    """
    restarted = os.environ.pop(RESTARTED, None) == str(os.getpid())
    if sys.flags.ignore_environment and sys.flags.safe_path:
        if restarted:
            _speak_as_asked()
        return
    if not (restarted or _is_led_astray() or "audit" in sys.argv):  # whose workers start as we did
        _leave_working_directory()
        return
    if restarted or not sys.executable:  # an interpreter behind a script that drops options, or none
        sys.stderr.write(
            "opv2v-doctor: cannot leave PYTHONPATH and the working directory out of its imports: "
            f"{sys.executable or 'this Python'} does not start itself with -E -P; "
            "run it as `python -I -m opv2v_doctor`\n"
        )
        sys.exit(NO_ANSWER)
    os.environ[RESTARTED] = str(os.getpid())
    os.execv(sys.executable, [*isolated_command(PROGRAM), *sys.argv[1:]])


def isolated_command(program: str) -> list[str]:
    """The words that execute a file of ours isolated, with this interpreter's other options.

    The user's own site-packages stay where they are in use: the doctor may be installed there. Options that
    variables gave are given as words, since the variables are no longer listened to.
    """
    flags = sys.flags
    words = [sys.executable, "-E", "-P"]
    words += ["-s"] * (flags.no_user_site or _user_site_is_foreign())
    given = {
        "B": flags.dont_write_bytecode,
        "O": flags.optimize,
        "b": flags.bytes_warning,
        "S": flags.no_site,
    }
    given |= {"v": flags.verbose, "q": flags.quiet, "d": flags.debug, "i": flags.inspect}
    words += [f"-{letter * times}" for letter, times in given.items() if times]
    words += ["-u"] * bool(getattr(sys.stdout, "write_through", False))
    extra = {"utf8": str(flags.utf8_mode), **({"dev": True} if flags.dev_mode else {}), **sys._xoptions}
    for name, value in extra.items():
        words += ["-X", name if value is True else f"{name}={value}"]
    for option in sys.warnoptions:
        words += ["-W", option]
    return [*words, program]


def _is_led_astray() -> bool:
    """Whether the environment names places of modules."""
    return any(os.environ.get(name) for name in SOURCES) or _user_site_is_foreign()


def _leave_working_directory() -> None:
    """Take off the path what `python -m` and `-c` put first; nothing was imported from it but ourselves."""
    try:
        here = os.getcwd()  # noqa: PTH109
    except OSError:
        here = ""
    if not sys.flags.safe_path and sys.path and (sys.path[0] in ("", here) or not here):
        del sys.path[0]


def _user_site_is_foreign() -> bool:
    """Whether somebody moved the user's site-packages to where the doctor itself is not."""
    base = os.environ.get("PYTHONUSERBASE", "")
    if not base or sys.flags.no_user_site:
        return False
    return not PACKAGES.startswith(os.path.join(os.path.abspath(base), ""))  # noqa: PTH100, PTH118


def _speak_as_asked() -> None:
    """What PYTHONIOENCODING says of our own streams, which no option can."""
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    for stream in (sys.stdout, sys.stderr):
        if (encoding or errors) and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding=encoding or None, errors=errors or None)
