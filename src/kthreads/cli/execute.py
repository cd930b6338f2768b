"""The last step of a command: it executes a program, or ends as its child ended."""

from __future__ import annotations

import errno
import os
import pwd
import signal
import sys
from typing import NamedTuple, NoReturn

from kthreads._native import lib
from kthreads.cli.message import complain, visible
from kthreads.processes.child_steps import Steps, files_of

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "Program", "end_like", "execute", "execute_in_root", "status_of"]

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_NONE = (errno.ENOENT, errno.ENOTDIR)  # errors of a file that does not exist


class Program(NamedTuple):
    """What to execute."""

    file: str
    arguments: list[str]
    environment: dict[str, str] | None = None
    """Its variables; None for this process's."""

    @classmethod
    def of(cls, words: list[str], uid: int, environment: dict[str, str] | None = None) -> Program:
        """The words, or the user's login shell when there are none: the one that its environment (None: this process's)
        or else its entry in passwd(5) names.

        To be called before another root is entered: looking a user up loads libraries that /etc/nsswitch.conf of the root
        names, into this process (CVE-2019-14271).
        """
        if words:
            return cls(words[0], words, environment)
        file = (os.environ if environment is None else environment).get("SHELL") or _shell_of(uid) or "/bin/sh"
        return cls(file, ["-" + os.path.basename(file)], environment)


def _shell_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_shell
    except KeyError:
        return None


def execute_in_root(name: str, program: Program) -> NoReturn:
    """As `execute`, in a root that an enemy may have filled: no program in it is executed by the interpreter, whose file it
    would have as /proc/self/exe (CVE-2019-5736), but by the launcher."""
    _before(name, program)
    steps = Steps()
    message = f"{name}: failed to execute {visible(program.file)}"
    files = files_of(program.file, program.environment)
    steps.exec(files, program.arguments, program.environment, lib.KT_EXEC_LAUNCH, launcher=message)
    code = lib.kt_execute(steps.build())
    complain(name, f"failed to execute {program.file}: the launcher: {os.strerror(-code)}")
    os._exit(NOT_EXECUTABLE)


def _before(name: str, program: Program) -> None:
    sys.stdout.flush()
    if not program.file:  # Python and the launcher would say something else of it
        complain(name, f"failed to execute {program.file!r}: {os.strerror(errno.ENOENT)}")
        os._exit(NOT_FOUND)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these signals; programs expect the default action
        signal.signal(number, signal.SIG_DFL)


def execute(name: str, program: Program) -> NoReturn:
    """Executes a program, as execvp(3) does. Does not return: if the program cannot be executed, it prints an error and exits
    with 127 if the program does not exist, or else with 126."""
    _before(name, program)
    try:
        _execute_first(program)
    except OSError as error:
        complain(name, f"failed to execute {program.file}: {error.strerror}")
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def _execute_first(program: Program) -> NoReturn:
    """Executes the first file of its name that can be; raises the error of the first one that exists."""
    environment = os.environ if program.environment is None else program.environment
    error: OSError | None = None
    for file in files_of(program.file, program.environment):
        try:
            os.execve(file, program.arguments, environment)
        except OSError as failed:
            if failed.errno == errno.ENOEXEC:  # of no format that the kernel knows: a shell reads it
                os.execve("/bin/sh", ["/bin/sh", os.fsdecode(file), *program.arguments[1:]], environment)
            if error is None or error.errno in _NONE:
                error = failed
    raise error or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program.file)


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
