"""The last step of a command: it executes a program, or ends as its child ended."""

from __future__ import annotations

import os
import pwd
import signal
import sys
from typing import NoReturn

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "end_like", "execute", "status_of"]

NOT_EXECUTABLE, NOT_FOUND = 126, 127


def execute(name: str, words: list[str], environment: dict[str, str] | None = None) -> NoReturn:
    """Executes a program; the user's login shell when there are no words. Does not return: if the program cannot be
    executed, it prints an error and exits with 127 if the program does not exist, or else with 126."""
    if words:
        file, arguments = words[0], words
    else:
        file = os.environ.get("SHELL") or pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
        arguments = ["-" + os.path.basename(file)]
    sys.stdout.flush()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these signals; programs expect the default action
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(file, arguments, os.environ if environment is None else environment)
    except OSError as error:
        print(f"{name}: failed to execute {file}: {error.strerror}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def status_of(wait_status: int) -> int:
    """The exit status as in `subprocess`: negative for a signal."""
    return os.waitstatus_to_exitcode(wait_status)


def end_like(status: int) -> int:
    """Ends this process by the signal that ended its child, so that the parent sees the same status. Returns a status that
    is not a signal."""
    if status >= 0:
        return status
    number = -status
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    sys.stdout.flush()
    os.kill(os.getpid(), number)
    return 128 + number
