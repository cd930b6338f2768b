"""The terminal and the keyring of the starter are out of reach."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

import pytest
from hostile import COMMAND

pytestmark = pytest.mark.any_python

TYPE = """
if pty.fork()[0] == 0:
    def type_into_terminal():
        try:
            fcntl.ioctl(0, termios.TIOCSTI, b"x")
        except OSError as error:
            return error.errno
    os._exit(Process(type_into_terminal, namespaces=SIX, **MAPS, **eval(sys.argv[1])).wait())
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""

SEARCH = """
libc = ctypes.CDLL(None, use_errno=True)
SESSION, JOIN, SEARCH = -3, 1, 10
libc.syscall(250 if os.uname().machine == "x86_64" else 219, JOIN, None)
add = 248 if os.uname().machine == "x86_64" else 217
assert libc.syscall(add, b"user", b"kthreads-secret", b"secret", 6, SESSION) > 0, os.strerror(ctypes.get_errno())
def search():
    return libc.syscall(add + 2, SEARCH, SESSION, b"user", b"kthreads-secret", 0) > 0
print(Process(search, namespaces=SIX, **MAPS, **eval(sys.argv[1])).wait())
"""


def test_a_container_cannot_type_into_the_terminal_of_its_starter(attack):
    assert attack.python(TYPE, {}) == "1"  # EPERM


def test_it_can_where_a_name_says_so(attack):
    assert attack.python(TYPE, {"keep_session": True}) in ("0", "5")  # EIO: the kernel refuses it to all


def test_a_container_does_not_find_keys_of_its_starter(attack):
    assert attack.python(SEARCH, {}) == "0"
    assert attack.python(SEARCH, {"keep_session": True}) == "1"


def test_neither_does_a_program_in_a_container_that_is_entered(attack_by_root):
    """It is a program of an enemy, too."""
    join = TYPE.replace(
        "Process(type_into_terminal, namespaces=SIX, **MAPS, **eval(sys.argv[1]))",
        "Process(type_into_terminal, join=[(os.open('/proc/self/ns/mnt', os.O_RDONLY), 0)], **eval(sys.argv[1]))",
    )
    assert attack_by_root.python(join, {}) == "1"
    assert attack_by_root.python(join, {"keep_session": True}) in ("0", "5")


def test_the_program_of_the_command_has_no_terminal(attack):
    script = "cut -d' ' -f6,7 /proc/$$/stat; echo > /dev/tty"
    out = attack.in_container(script).splitlines()
    assert out[0] == "1 0"
    assert "No such device" in out[1]


def in_terminal(attack, *words, keys=b""):
    """What a command that runs in a terminal shows, and its status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", COMMAND, str(attack.uid), *map(str, words)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
    shown, limit = b"", time.monotonic() + 30
    while time.monotonic() < limit and select.select([terminal], [], [], 30)[0]:
        try:
            shown += os.read(terminal, 1000)
        except OSError:
            break
        if keys and b"ready" in shown:
            os.write(terminal, keys)
            keys = b""
    os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_with_tty_the_program_has_a_terminal_of_its_own(attack):
    script = "stty size; test -t 0 && test -t 1 && echo terminal; echo > /dev/tty && exit 7"
    shown, status = in_terminal(attack, "run", "--root", attack.root, "--tty", "--", "sh", "-c", script)
    assert (shown.split(), status) == (["33", "77", "terminal"], 7)


def test_with_tty_keys_are_the_program_s(attack):
    script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    shown, status = in_terminal(attack, "run", "--root", attack.root, "-t", "--", "sh", "-c", script, keys=b"\x03")
    assert ("interrupted" in shown, status) == (True, 9)


def test_without_it_ctrl_c_reaches_the_program_all_the_same(attack):
    script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    shown, status = in_terminal(attack, "run", "--root", attack.root, "--", "sh", "-c", script, keys=b"\x03")
    assert ("interrupted" in shown, status) == (True, 9)


def test_with_tty_input_may_be_a_pipe(attack):
    done = attack.command("run", "--root", attack.root, "--tty", "--", "sh", "-c", "stty -echo; cat", input="text\n")
    assert (done.stdout.replace("\r", "").strip().splitlines()[-1], done.returncode) == ("text", 0)
