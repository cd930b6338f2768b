"""The cgroup of a container: it is gone after its end, and after the next start where its maker was killed.

Most run on cgroups of the kernel's, of version 2, without any controller: they are made and removed as those with limits are.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from containers import PATIENCE, container_tests

from kthreads import cgroups
from kthreads.cli.cgroup import Cgroup, Limits
from kthreads.errors import UnsupportedError
from kthreads.processes.process import Process

pytestmark = container_tests

NO_LIMITS = Limits()


class DepthLimit(Limits):
    """A limit that needs no controller."""

    controllers = frozenset()

    def __init__(self, value):
        self.files = {"cgroup.max.depth": value}


@pytest.fixture
def place():
    """A cgroup of the test's own, in which others are made. All that is left in it is removed."""
    own = cgroups.of_version_2()
    if own is None:
        pytest.skip("cgroups of version 2 are not mounted")
    try:
        path = own.folder / f"kthreads-test-{os.getpid()}"
        path.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a cgroup: {error}")
    yield path
    for folder, _, _ in os.walk(path, topdown=False):
        os.rmdir(folder)


def below(place):
    """The names of the cgroups in a cgroup."""
    return [each.name for each in place.iterdir() if each.is_dir()]


def make_and_remove(place):
    with Cgroup(NO_LIMITS, [place]):
        pass


def wait_for(condition):
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def wait_for_event(path, event):
    wait_for(lambda: event in (path / "cgroup.events").read_text())


def descend(path, depth):
    """Makes that many cgroups, each in the one before. Their paths become too long for a call of the kernel."""
    at = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deep", dir_fd=at)
        above, at = at, os.open("deep", os.O_RDONLY, dir_fd=at)
        os.close(above)
    os.close(at)


@pytest.fixture
def left_over(place):
    """A cgroup with others below it, whose maker was killed."""
    code = (
        "import pathlib, sys, time\n"
        "from kthreads.cli.cgroup import Cgroup, Limits\n"
        "cgroup = Cgroup(Limits(), [pathlib.Path(sys.argv[1])])\n"
        "(cgroup.path / 'a' / 'b').mkdir(parents=True)\n"
        "print(cgroup.path, flush=True)\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, place], stdout=subprocess.PIPE, text=True) as maker:
        path = place / maker.stdout.readline().strip()
        maker.kill()
    assert (path / "a" / "b").is_dir()
    return path


# ---- At the end ------------------------------------------------------------------------------------------------------


def test_cgroups_that_the_program_made_are_removed_with_its_own(place):
    with Cgroup(NO_LIMITS, [place]) as cgroup:
        for name in ("a/b/c", "a/d", "e"):
            (cgroup.path / name).mkdir(parents=True)
    assert below(place) == []


def test_they_are_removed_however_deep_they_are(place):
    with Cgroup(NO_LIMITS, [place]) as cgroup:
        descend(cgroup.path, 1100)
    assert below(place) == []


def test_processes_in_a_cgroup_that_the_program_made_are_killed(place):
    with Cgroup(NO_LIMITS, [place]) as cgroup:
        if not (cgroup.path / "cgroup.kill").exists():
            pytest.skip("cgroup.kill is of Linux 5.14")
        (cgroup.path / "a").mkdir()
        process = Process(["sleep", "1000"], cgroup=cgroup.path / "a")
    assert process.wait() == -signal.SIGKILL
    assert below(place) == []


def test_a_cgroup_whose_limits_cannot_be_set_is_removed(place):
    with pytest.raises(UnsupportedError, match="Invalid argument"):
        Cgroup(DepthLimit("no number"), [place])
    assert below(place) == []


# ---- After a maker that was killed -----------------------------------------------------------------------------------


def test_the_next_start_removes_what_a_killed_maker_has_left(place, left_over):
    make_and_remove(place)
    assert not left_over.exists()


def test_one_in_which_there_are_processes_stays_as_it_is(place, left_over):
    with Process(["sleep", "1000"], cgroup=left_over / "a") as process:
        try:
            make_and_remove(place)
            assert process.poll() is None
            assert (left_over / "a" / "b").is_dir()
        finally:
            process.kill()


def test_one_whose_maker_lives_stays(place):
    with Cgroup(NO_LIMITS, [place]) as first:
        make_and_remove(place)
        assert first.path.is_dir()


def test_cgroups_of_others_stay(place):
    for name in ("kthreads-own-", "kthreads-own-abcdefgh.scope", "kthreads-abcdefgh", "abcdefgh"):
        (place / name).mkdir()
    before = below(place)
    make_and_remove(place)
    assert below(place) == before


RUN_WITH_A_LIMIT = """if True:
    import os, sys
    from kthreads.cli import cgroup, main
    cgroup.Limits.controllers = frozenset()
    cgroup.Limits.__init__ = lambda limits, *_: setattr(limits, 'files', {'cgroup.max.depth': '10'})
    cgroup._own_folders = lambda: [cgroup.Path(os.environ['PLACE'])]
    sys.exit(main.main(sys.argv[1:]))
"""
"""The real command, on a machine that may have no controllers: its limit is one that needs none."""


@pytest.fixture
def start_run(place, root):
    """Starts `kthreads run` with a cgroup in that place. At the end those are killed that still run."""
    started = []

    def start_it(script, *options):
        words = ["run", "--root", root, "--pids", "9", *options, "--", "sh", "-c", script]
        command = [sys.executable, "-c", RUN_WITH_A_LIMIT, *words]
        started.append(subprocess.Popen(command, env=os.environ | {"PLACE": str(place)}, stdout=subprocess.PIPE))
        return started[-1]

    yield start_it
    for run in started:
        with run:
            run.kill()
    wait_for_event(place, "populated 0")


@pytest.mark.parametrize("options", [[], ["--no-init"]])
def test_the_cgroup_of_a_killed_run_is_removed_by_the_next_run(place, start_run, options):
    run = start_run("echo; sleep 1000", *options)
    assert run.stdout.readline() == b"\n"
    names = below(place)
    run.kill()
    run.wait()
    (name,) = names
    wait_for_event(place / name, "populated 0")  # they die with it
    assert below(place) == [name]
    assert start_run("true", *options).wait(PATIENCE) == 0
    assert below(place) == []


# ---- Pause and kill --------------------------------------------------------------------------------------------------


LOOP = "trap 'exit 9' TERM; sleep 1000 & echo; while :; do sleep 0.05; done"


def pause(run):
    """Pauses a container, until its command has stopped."""
    assert run.stdout.readline() == b"\n"
    run.send_signal(signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(run.pid, os.WUNTRACED)[1])


@pytest.mark.parametrize("options", [[], ["--no-init"]])
def test_a_pause_freezes_the_cgroup_until_the_command_continues(place, start_run, options):
    run = start_run(LOOP, *options)
    pause(run)
    (name,) = below(place)
    wait_for_event(place / name, "frozen 1")
    run.send_signal(signal.SIGCONT)
    wait_for_event(place / name, "frozen 0")
    run.terminate()
    assert run.wait(PATIENCE) == 9
    assert below(place) == []


def test_what_is_frozen_dies_with_its_command(place, start_run):
    run = start_run(LOOP)
    pause(run)
    wait_for_event(place / below(place)[0], "frozen 1")
    run.kill()
    run.wait(PATIENCE)
    wait_for_event(place, "populated 0")


def test_the_end_of_a_container_kills_what_has_joined_its_cgroup(place, start_run):
    run = start_run(LOOP)
    assert run.stdout.readline() == b"\n"
    (name,) = below(place)
    if not (place / name / "cgroup.kill").exists():
        pytest.skip("cgroup.kill is of Linux 5.14")
    joined = Process(["sleep", "1000"], cgroup=place / name)
    run.terminate()
    try:
        assert joined.wait(PATIENCE) == -signal.SIGKILL
    finally:
        joined.kill()
    assert run.wait(PATIENCE) == 9
    assert below(place) == []


# ---- Makers at the same time -----------------------------------------------------------------------------------------


def instead_of_first(monkeypatch, module, name, act):
    """Has the first call of a function done by another one, which also does what another process may do at that moment."""
    function, calls = getattr(module, name), []

    def call(*arguments, **options):
        calls.append(arguments)
        return act(function, *arguments, **options) if len(calls) == 1 else function(*arguments, **options)

    monkeypatch.setattr(module, name, call)
    return calls


def is_locked(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_a_maker_whose_new_cgroup_is_removed_before_it_is_opened_makes_another(place, monkeypatch):
    def make(function, *arguments, **options):
        os.rmdir(function(*arguments, **options))
        return str(place / "kthreads-own-removed_")

    calls = instead_of_first(monkeypatch, tempfile, "mkdtemp", make)
    with Cgroup(NO_LIMITS, [place]) as cgroup:
        assert len(calls) == 2
        assert is_locked(cgroup.path)


def test_a_maker_whose_new_cgroup_is_removed_before_it_is_locked_makes_another(place, monkeypatch):
    def lock(function, fd, operation):
        os.rmdir(os.readlink(f"/proc/self/fd/{fd}"))
        function(fd, operation)

    calls = instead_of_first(monkeypatch, fcntl, "flock", lock)
    with Cgroup(NO_LIMITS, [place]) as cgroup:
        assert len(calls) == 2
        assert is_locked(cgroup.path)


def test_a_maker_whose_new_cgroup_is_locked_by_another_makes_another(place, monkeypatch):
    held = []

    def make(function, *arguments, **options):
        path = function(*arguments, **options)
        held.append(os.open(path, os.O_RDONLY))
        fcntl.flock(held[0], fcntl.LOCK_EX)
        return path

    calls = instead_of_first(monkeypatch, tempfile, "mkdtemp", make)
    with Cgroup(NO_LIMITS, [place]) as cgroup:
        assert len(calls) == 2
        assert len(below(place)) == 2
        os.close(held[0])
        make_and_remove(place)  # does what the other would have done
        assert below(place) == [cgroup.path.name]


def test_one_that_another_removes_first_is_no_error(place, left_over, monkeypatch):
    def lock(function, fd, operation):
        for folder, _, _ in os.walk(left_over, topdown=False):
            os.rmdir(folder)
        function(fd, operation)

    instead_of_first(monkeypatch, fcntl, "flock", lock)
    make_and_remove(place)
    assert below(place) == []


def test_many_makers_at_once_each_have_one_and_leave_none(place):
    unlocked = []

    def make_many():
        for _ in range(50):
            with Cgroup(NO_LIMITS, [place]) as cgroup:
                if not is_locked(cgroup.path):
                    unlocked.append(cgroup.path)

    threads = [threading.Thread(target=make_many) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert unlocked == []
    make_and_remove(place)
    assert below(place) == []
