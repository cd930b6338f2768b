"""An exception of a signal's handler, at any instruction of entering and leaving namespaces: no descriptor is lost, and
the thread is where it was."""

from __future__ import annotations

import os

from process_runs import needs_root
from programs import printed

import kthreads
from kthreads.namespaces import list_namespaces

HERE = os.path.dirname(__file__)
BEGIN = """if True:
    import os, sys
    sys.path[:0] = sys.argv[1:]
    from interrupt import at_every_opcode
    import kthreads
    from kthreads import CloneFlags
    kinds = "uts", "net", "mnt"
    flags = CloneFlags.NEWUTS | CloneFlags.NEWNET | CloneFlags.NEWNS
    home = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in kinds]
    def places():
        return [os.stat(f"/proc/thread-self/ns/{kind}").st_ino for kind in kinds]
    before, fds = places(), os.listdir("/proc/self/fd")
    stayed = 0
    def check(*_):
        global stayed
        if places() != before:
            stayed += 1
            for fd in home:
                kthreads.setns(open(fd, closefd=False))
        assert (places(), os.listdir("/proc/self/fd")) == (before, fds)
"""


def run(script: str) -> str:
    return printed(BEGIN + script, HERE, os.path.dirname(HERE))


@needs_root
def test_an_interrupted_unshare_has_entered_nothing():
    """But where the interrupt comes as the way back is returned, at one instruction or two: as if it had been dropped."""
    assert (
        run("""
    at_every_opcode(lambda: kthreads.unshare(flags).leave(), [kthreads.namespaces.enter.unshare], check=check, share=(0, 1))
    print(stayed in (1, 2))
""")
        == "True\n"
    )


@needs_root
def test_an_interrupted_setns_has_entered_nothing():
    assert (
        run("""
    process = kthreads.Process(["sleep", "60"], namespaces=flags)
    fds = os.listdir("/proc/self/fd")
    functions = [kthreads.namespaces.enter.setns, kthreads.namespaces.reference]
    at_every_opcode(lambda: kthreads.setns(process, flags).leave(), functions, check=check, share=(0, 1))
    process.kill()
    process.wait()
    print(stayed in (1, 2))
""")
        == "True\n"
    )


@needs_root
def test_an_interrupted_leave_can_be_called_again():
    assert (
        run("""
    def again(entry):
        entry.leave()
        del entry
    def left(entry):
        again(entry)
        assert places() == before, places()
    at_every_opcode(lambda entry: entry.leave(), prepare=lambda: kthreads.unshare(flags), check=left)
    print(os.listdir("/proc/self/fd") == fds)
""")
        == "True\n"
    )


def test_interrupted_namespaces_loses_no_descriptor():
    from interrupt import at_every_opcode

    before = sorted(os.listdir("/proc/self/fd"))

    def check():
        assert sorted(os.listdir("/proc/self/fd")) == before

    modules = [
        kthreads.namespaces.listing._look,
        kthreads.namespaces.listing._look_above,
        kthreads.namespaces.listing._look_through,
        kthreads.descriptors,
    ]
    assert at_every_opcode(lambda: list_namespaces(os.getpid()), modules, check=check, only_after_calls=False) > 100


def test_an_interrupted_pidfd_of_a_thread_is_not_lost(gate):
    from interrupt import at_every_opcode

    thread = gate.thread()
    thread.start()
    gate.wait_for(1)
    before = sorted(os.listdir("/proc/self/fd"))

    def check():
        assert sorted(os.listdir("/proc/self/fd")) == before

    def take():
        kthreads.threads.pidfd.PidFd(thread.kt_cell_while_alive()[0]).close()

    assert (
        at_every_opcode(take, [kthreads.threads.pidfd, kthreads.descriptors], check=check, only_after_calls=False) > 20
    )
    gate.open()
    thread.join()
