"""An exception of a signal's handler, at any instruction of starting and awaiting a process: nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

import pytest
from interrupt import at_every_opcode
from process_runs import SIX, isolated, needs_root
from programs import printed

import kthreads
from kthreads import CloneFlags, Process, descriptors, readable
from kthreads.mounts import Bind
from kthreads.namespaces import list_namespaces, reference
from kthreads.processes import (
    clone,
    isolation,
    joining,
    mapped_files,
    process,
    request,
    running,
    standard_descriptors,
    start,
)

pause = kthreads.symbol(None, "pause", "int(void)")
WALL = 0x40000000
STARTING = [clone, descriptors, isolation, joining, process, reference, request, running, standard_descriptors, start]

# What is dropped as it is returned warns, as Popen does.
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.timeout(600)]


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


@pytest.fixture
def check():
    """That no process goes on that nobody has got, none is left that the library does not know, and no descriptor."""
    before = open_descriptors()

    def check(*_):
        running.reap_dropped()
        assert all(launched.kept for launched in running.registered)
        for launched in list(
            running.registered
        ):  # they were complete, and dropped: once they have ended, they are reaped
            launched.send(signal.SIGKILL)
            launched.wait()
        subprocess._cleanup()
        assert (running.registered, subprocess._active) == (set(), [])
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG | WALL)
        assert open_descriptors() == before

    return check


# ---- Starting ---------------------------------------------------------------------------------------------------


def kill(started):
    started.kill()
    return started.wait()


@pytest.mark.parametrize("flags", [CloneFlags(0), CloneFlags.VM], ids=["copy", "shared memory"])
def test_an_interrupted_clone_of_a_native_function_leaves_nothing(flags, check):
    at_every_opcode(lambda: kill(kthreads.clone(pause, flags)), STARTING, check=check)


def test_an_interrupted_clone_of_a_python_callable_leaves_nothing(check):
    at_every_opcode(lambda: kill(kthreads.clone(signal.pause)), check=check)


def test_an_interrupted_start_of_a_program_with_pipes_leaves_nothing(check):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    at_every_opcode(lambda: kill(Process(["cat"], **pipes)), STARTING, check=check)


@pytest.mark.parametrize("function", [signal.pause, pause], ids=["python", "native"])
def test_an_interrupted_start_of_a_function_with_pipes_leaves_nothing(function, check):
    at_every_opcode(lambda: kill(Process(function, stdin=subprocess.PIPE)), STARTING, check=check)


@isolated
def test_an_interrupted_start_in_namespaces_leaves_nothing(check):
    at_every_opcode(
        lambda: kill(Process(["cat"], stdin=subprocess.PIPE, namespaces=SIX, before_go=lambda pid: None)),
        STARTING,
        check=check,
    )


@needs_root
@pytest.mark.parametrize("program", [["cat"], signal.pause], ids=["program", "function"])
def test_an_interrupted_start_in_namespaces_that_exist_leaves_nothing(program, check):
    join = ["/proc/self/ns/uts", *(each for each in list_namespaces(os.getpid()) if each.kind == "net")]
    at_every_opcode(lambda: kill(Process(program, stdin=subprocess.PIPE, join=join)), STARTING, check=check)


@needs_root
@isolated
def test_an_interrupted_start_with_files_of_other_ids_leaves_nothing(check, tmp_path):
    bind = Bind(tmp_path, "/mnt", uid_map=[(0, 1000, 1)])
    options = {"namespaces": CloneFlags.NEWNS, "mounts": [bind]}
    try:
        Process(["true"], **options).wait()
    except OSError as error:
        pytest.skip(f"no mapped ids here: {error}")
    at_every_opcode(lambda: kill(Process(["cat"], stdin=subprocess.PIPE, **options)), [mapped_files], check=check)


def test_an_interrupted_start_that_fails_leaves_nothing(check):
    def fails():
        with pytest.raises(FileNotFoundError):
            Process(["/nowhere"], stdin=subprocess.PIPE)

    at_every_opcode(fails, STARTING, check=check)


@pytest.mark.parametrize(
    "start", [lambda path: kthreads.clone(pause, cgroup=path), lambda path: Process(["cat"], cgroup=path)]
)
def test_an_interrupted_start_in_what_is_no_cgroup_leaves_no_descriptor(start, tmp_path, check):
    def fails():
        with pytest.raises(OSError, match="cgroup"):
            start(tmp_path)

    at_every_opcode(fails, STARTING, check=check)


def test_descriptors_put_out_of_the_way_are_not_lost():
    """Without standard descriptors the pipes have their numbers."""
    script = """if True:
        import os, subprocess, sys
        sys.path[:0] = sys.argv[1:]
        out = os.dup(1)
        from interrupt import at_every_opcode
        from kthreads import Process, descriptors
        from kthreads.processes import standard_descriptors as standard
        for fd in range(3):
            os.close(fd)
        before = os.listdir("/proc/self/fd")
        def start():
            with Process(["true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE):
                pass
        def check():
            assert os.listdir("/proc/self/fd") == before
        count = at_every_opcode(start, [standard, descriptors], check=check, only_after_calls=False)
        os.write(out, str(count > 100).encode())
        os._exit(0)
    """
    folder = os.path.dirname(__file__)
    assert printed(script, folder, os.path.dirname(folder)) == "True"


# ---- Waiting -----------------------------------------------------------------------------------------------------


def program():
    return Process(["sh", "-c", "echo text; exit 7"], stdout=subprocess.PIPE)


def cloned():
    return kthreads.clone(lambda: 7)


MAKERS = pytest.mark.parametrize("make", [program, cloned])


def still_ends_well(started):
    assert started.wait(10) == 7
    if isinstance(started, Process):
        started.stdout.close()


@MAKERS
def test_an_interrupted_wait_loses_no_status(make, check):
    at_every_opcode(lambda started: started.wait(), prepare=make, check=still_ends_well)
    check()


@MAKERS
def test_an_interrupted_wait_with_a_timeout_loses_no_status(make, check):
    at_every_opcode(lambda started: started.wait(10), prepare=make, check=still_ends_well)
    check()


@MAKERS
def test_an_interrupted_poll_loses_no_status(make, check):
    def poll(started):
        while started.poll() is None:
            pass

    at_every_opcode(poll, prepare=make, check=still_ends_well)
    check()


def test_an_interrupted_communicate_loses_no_status(check):
    at_every_opcode(lambda started: started.communicate(), prepare=program, check=still_ends_well)
    check()


@MAKERS
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_an_interrupted_await_loses_no_status_and_no_descriptor(make, check):
    async def wait(started):
        return await started

    at_every_opcode(
        lambda started: asyncio.run(wait(started)), [readable, *STARTING], prepare=make, check=still_ends_well
    )
    check()


def test_a_storm_of_signals_loses_no_process():
    """Real ones, which interrupt the clean-up, too."""
    script = """if True:
        import gc, os, random, signal, subprocess, sys, threading, time, warnings
        import kthreads
        from kthreads.processes import running
        warnings.simplefilter("ignore")
        sys.unraisablehook = id  # for those in finalizers; no bytecode of its own, which the storm would interrupt
        pause = kthreads.symbol(None, "pause", "int(void)")

        def interrupt(_, frame):
            if storm and frame.f_code.co_name != "<module>":    # whose loop no handler covers where it goes round
                raise KeyboardInterrupt

        def start_all():
            global ran
            for start in (lambda: kthreads.clone(pause), lambda: kthreads.clone(signal.pause),
                          lambda: kthreads.Process(["cat"], stdin=subprocess.PIPE)):
                started = start()
                started.kill()
                started.wait()
                ran += 1

        begin = threading.Event()

        def blow():
            begin.wait()
            while storm:
                most = 3e-3 if time.monotonic() < end else 0.3      # a machine with much to do gets through in the end
                time.sleep(random.uniform(1e-5, most))
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        storm, ran, end = True, 0, time.monotonic() + 4
        signal.signal(signal.SIGINT, interrupt)
        blower = threading.Thread(target=blow)
        blower.start()
        while storm:
            try:
                begin.set()
                storm = time.monotonic() < end or ran <= 10
                start_all()
            except KeyboardInterrupt:
                pass
        blower.join()
        for launched in list(running.registered):
            if launched.kept:
                launched.send(signal.SIGKILL)
        while running.registered:
            gc.collect()    # an exception and its frames may hold a process
            running.reap_dropped()
        subprocess._cleanup()
        try:
            print("left", os.waitpid(-1, os.WNOHANG | 0x40000000))
        except ChildProcessError:
            print("none", ran > 10)
    """
    assert printed(script) == "none True\n"
