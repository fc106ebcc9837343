"""The outermost door: arguments in, exit code out. What goes wrong behind it ends in one line, never in a traceback.

0 done or nothing to do; 1 failed; 2 wrong usage or refused before the start; 3 held by another run;
129, 130 and 143 interrupted. Imports stand inside the functions: the door is quick, and what fails there is caught.
A short command is mostly Python itself: a fifth of it, the collector's passes and the taking apart, is saved here.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from pipeline import interrupts

FAILED, MISUSED, INTERRUPTED = 1, 2, 128
_GARBAGE = 50_000  # objects until the collector looks for cycles: 700 has it look at every import anew


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `arguments` where they are not those of this process."""
    _open_closed_streams()
    if arguments is not None:
        return _guarded(list(arguments))
    gc.set_threshold(_GARBAGE)
    codes: list[int] = []
    atexit.register(_leave, codes)  # before all others, so that it comes after them
    codes.append(_guarded(sys.argv[1:]))
    return codes[0]


def _leave(codes: Sequence[int]) -> None:
    """End the process once all who asked for it have cleared up, and leave memory to the kernel as it is."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    for code in codes:  # none where Python has its own word for how it ends
        os._exit(code)


def _guarded(tokens: list[str]) -> int:
    for number in interrupts.heeded():  # until a job has handlers of its own
        if number != signal.SIGINT:
            signal.signal(number, _terminate)
    try:
        if not _stands_somewhere():
            return _complain("the working folder has been deleted: change to another one", MISUSED)
        return _run(tokens)
    except SystemExit as error:  # `_terminate`
        return error.code if isinstance(error.code, int) else FAILED
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED + signal.SIGINT)
    except BrokenPipeError:  # `ledgerfill plan | head`: the reader has what it wanted
        _silence()
        return FAILED
    except Exception as error:  # the outermost door: a traceback is for --debug
        return _explain(error, tokens)


def _stands_somewhere() -> bool:
    """Return whether the working folder is there: no path is meant from one that is gone, and no process starts."""
    try:
        os.getcwd()  # noqa: PTH109  # pathlib would be one more import at the door
    except FileNotFoundError:
        return False
    return True


def _run(tokens: list[str]) -> int:
    from pipeline.cli.app import make_app

    try:
        result = make_app()(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if not _is_of_standard_output(error):
            raise
        _silence()
        return _complain(f"cannot write to standard output: {error.strerror}", FAILED)
    return result if isinstance(result, int) else 0


def _is_of_standard_output(error: OSError) -> bool:
    """Return whether it was standard output that could not be written, which no error says of itself: try it."""
    if error.filename is not None:
        return False
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except OSError as again:
        return again.errno == error.errno
    return False


def _open_closed_streams() -> None:
    """Open /dev/null where the caller has closed a standard stream: else a socket gets its number, and what is said.

    Likewise in the processes that are started.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            found = os.open(os.devnull, os.O_RDWR)
            os.dup2(found, number)
            if found != number:
                os.close(found)
            os.set_inheritable(number, True)  # `dup2` leaves a number alone that it was given twice
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115, PTH123  # as long as the process


def _silence() -> None:
    """Send what is left to nowhere: else Python complains as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: Exception, tokens: list[str]) -> int:
    from cyclopts import CycloptsError

    from pipeline.errors import BackfillError, first_line

    if isinstance(error, CycloptsError):
        text = str(error).rstrip(".")
        command = " ".join(("ledgerfill", *(error.command_chain or ())))
        return _complain(f"{text[:1].lower()}{text[1:]} (see {command} --help)", MISUSED)
    if isinstance(error, BackfillError):
        return _complain(str(error), error.exit_code)
    if "--debug" in tokens or os.environ.get("LEDGERFILL_DEBUG", "").lower() not in ("", "0", "false", "no"):
        _show_traceback(error)
    if _is_postgresql(error):
        return _complain(f"PostgreSQL failed: {first_line(error)} (--debug shows where)", FAILED)
    return _complain(f"unexpected {type(error).__name__}: {error} (--debug shows where)", FAILED)


def _is_postgresql(error: Exception) -> bool:
    """Return whether it is the database's own: what it says, it says of a store that somebody has changed."""
    return type(error).__module__.startswith("psycopg") and bool(str(error).strip())


def _show_traceback(error: Exception) -> None:
    from traceback import format_exception

    from pipeline.progress.printable import printable_lines

    sys.stderr.write(printable_lines("".join(format_exception(error))))


def _complain(message: str, code: int) -> int:
    from pipeline.progress.printable import printable

    sys.stderr.write(f"ledgerfill: {printable(message)}\n")
    return code


def _terminate(number: int, _frame: FrameType | None) -> None:
    interrupts.received(number)
    sys.exit(INTERRUPTED + number)


if __name__ == "__main__":
    sys.exit(main())
