"""kthreads.Process: subprocess's manners, descriptors, functions, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest
from process_runs import SIX, STARTS, SYSTEM, isolated, needs_root, output_of, shell

import kthreads
from kthreads import CloneFlags, Process
from kthreads.mounts import Tmpfs

pytestmark = pytest.mark.usefixtures("leaves_nothing_behind")


# ---- subprocess's manners -----------------------------------------------------------------------------------------------


def test_it_is_a_popen():
    with Process(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert isinstance(process, subprocess.Popen)
        assert process.communicate("text") == ("text", None)
    assert process.returncode == 0


@pytest.mark.parametrize("namespaces", [CloneFlags(0), pytest.param(SIX, marks=isolated)], ids=["plain", "six"])
@pytest.mark.parametrize(
    ("script", "returncode"), [("exit 0", 0), ("exit 41", 41), ("kill -KILL $$", -9), ("kill -TERM $$", -15)]
)
def test_the_exit_status_is_the_program_s(script, returncode, namespaces):
    expected = returncode
    if namespaces and returncode < 0:
        script = f"sh -c '{script}'; exit $?"  # process 1 of a PID namespace cannot kill itself
        expected = 128 - returncode
    assert Process(["sh", "-c", script], namespaces=namespaces, stderr=subprocess.DEVNULL).wait() == expected


@pytest.mark.parametrize("namespaces", [CloneFlags(0), pytest.param(SIX, marks=isolated)], ids=["plain", "six"])
def test_a_program_that_is_not_there_is_a_filenotfounderror(namespaces):
    with pytest.raises(FileNotFoundError) as caught:
        Process(["/nowhere/at/all", "x"], namespaces=namespaces)
    assert isinstance(caught.value, kthreads.ProcessStartError)
    assert caught.value.filename == "/nowhere/at/all"
    assert caught.value.step == "execute /nowhere/at/all"
    with pytest.raises(FileNotFoundError):
        Process(["no-such-program-in-the-path"], namespaces=namespaces)


def test_a_program_that_is_not_executable_is_a_permissionerror(tmp_path):
    (tmp_path / "program").write_text("no")
    with pytest.raises(PermissionError):
        Process([str(tmp_path / "program")])


def test_a_folder_that_is_not_there_names_the_step():
    with pytest.raises(FileNotFoundError, match="cannot change to '/nowhere'"):
        Process(["true"], cwd="/nowhere")


def test_cwd_env_umask_and_session_are_those_asked_for(tmp_path):
    out = shell(
        "pwd; echo $A; umask; ps -o sid= -p $$; echo $$",
        cwd=tmp_path,
        env={"A": "b", "PATH": os.environ["PATH"]},
        umask=0o027,
        start_new_session=True,
    ).split()
    assert out[:3] == [str(tmp_path), "b", "0027"]
    assert out[3] == out[4]


def test_the_environment_is_inherited_as_it_is_now(monkeypatch):
    monkeypatch.setenv("KTHREADS_TEST", "now")
    assert shell("echo $KTHREADS_TEST") == "now\n"


def test_shell_text_and_check_output_manners():
    assert output_of("echo $0 one two", shell=True).endswith("one two\n")


def test_a_timeout_of_communicate_is_popen_s():
    with Process(["sleep", "60"], stdout=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_signals_go_by_the_pidfd():
    process = Process(["sleep", "60"])
    process.send_signal(signal.SIGUSR1)
    assert process.wait(10) == -signal.SIGUSR1
    process.terminate()


def test_it_can_be_awaited():
    async def run():
        return await asyncio.gather(*(Process(["sh", "-c", f"exit {number}"]) for number in range(5)))

    assert asyncio.run(run()) == [0, 1, 2, 3, 4]


def test_signals_are_as_in_a_fresh_program():
    """CPython ignores SIGPIPE and catches SIGINT; a thread may have blocked some."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        status = dict(line.split(":", 1) for line in output_of(["cat", "/proc/self/status"]).splitlines())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    assert int(status["SigIgn"], 16) >> signal.SIGPIPE - 1 & 1 == 0
    assert int(status["SigCgt"], 16) == 0
    assert int(status["SigBlk"], 16) == 1 << signal.SIGUSR1 - 1


@pytest.mark.parametrize("name", ["preexec_fn"])
def test_what_cannot_be_done_safely_is_refused(name):
    with pytest.raises(ValueError, match=name):
        Process(["true"], **{name: print})


# ---- Descriptors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespaces", [CloneFlags(0), pytest.param(SIX, marks=isolated)], ids=["plain", "six"])
@pytest.mark.parametrize("init", [False, True])
def test_no_descriptor_but_those_asked_for_reaches_the_program(namespaces, init):
    if init and not namespaces:
        pytest.skip("an init needs a PID namespace")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    listing = "import os; fds = os.listdir('/proc/self/fd'); print(sorted(int(fd) for fd in fds if os.path.exists('/proc/self/fd/' + fd)))"
    shown = [sys.executable, "-c", listing]
    try:
        assert output_of(shown, namespaces=namespaces, init=init) == "[0, 1, 2]\n"
        assert output_of(shown, namespaces=namespaces, init=init, pass_fds=[reader]) == f"{sorted([0, 1, 2, reader])}\n"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_function_gets_no_other_descriptors_either():
    reader, writer = os.pipe()
    try:

        def run():
            left = set(map(int, os.listdir("/proc/self/fd"))) - {0, 1, 2, writer}
            return len(left) - 1  # the one that lists them

        assert Process(run, pass_fds=[writer]).wait() == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_standard_descriptors_may_be_swapped():
    """stdout to 2 and stderr to 1: neither is overwritten before its turn."""
    script = """if True:
        import os, sys, kthreads
        process = kthreads.Process(["sh", "-c", "echo out; echo err >&2"], stdout=2, stderr=1)
        sys.exit(process.wait())
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("err\n", "out\n")


def test_it_works_with_the_standard_descriptors_closed():
    script = """if True:
        import os, kthreads
        out = os.dup(1)
        for fd in (0, 1, 2):
            os.close(fd)
        process = kthreads.Process(["sh", "-c", "echo fine; ls /proc/self/fd | wc -l"], stdout=out)
        os._exit(process.wait())
    """
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split()[0] == "fine"


def test_a_forked_child_elsewhere_does_not_keep_a_start_waiting():
    """The channel on which an exec is seen must not be held open by a child that another thread forks meanwhile."""
    script = """if True:
        import os, threading, kthreads
        reader, writer = os.pipe()      # what the forked children wait for
        pids = []
        def fork():
            for _ in range(30):
                pid = os.fork()
                if pid == 0:
                    os.close(writer)
                    os.read(reader, 1)
                    os._exit(0)
                pids.append(pid)
        thread = threading.Thread(target=fork)
        thread.start()
        for _ in range(30):
            kthreads.Process(["true"], before_go=lambda pid: None).wait()
        thread.join()
        os.close(writer)
        print(sum(os.waitpid(pid, 0)[1] for pid in pids))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "0\n", done.stderr


# ---- Functions ----------------------------------------------------------------------------------------------------------


@isolated
@pytest.mark.parametrize("init", [False, True])
def test_a_python_callable_runs_in_new_namespaces(init):
    def run(text):
        os.write(1, json.dumps([text, os.getpid(), os.uname().nodename, os.listdir("/tmp")]).encode())
        return 3

    process = Process(
        run, arguments=["in"], namespaces=SIX, hostname="box", mounts=[Tmpfs("/tmp")], init=init, stdout=subprocess.PIPE
    )
    out, _ = process.communicate(timeout=30)
    assert (json.loads(out), process.returncode) == (["in", 2 if init else 1, "box", []], 3)


@isolated
def test_a_native_function_runs_in_new_namespaces():
    assert Process(kthreads.symbol(None, "getpid", "int(void)"), namespaces=SIX).wait() == 1


@needs_root
def test_existing_namespaces_can_be_joined():
    holder = Process(["sleep", "60"], namespaces=SIX & ~CloneFlags.NEWUSER, hostname="held")
    fds = [os.open(f"/proc/{holder.pid}/ns/{name}", os.O_RDONLY) for name in ("uts", "net", "ipc", "pid", "mnt")]
    try:
        out = shell("uname -n; echo /proc/[0-9]*", join=[(fd, 0) for fd in fds])
        assert out.split()[:2] == ["held", "/proc/1"]
        assert Process(["sh", "-c", "kill -TERM $$"], join=[(fds[0], 0)]).wait() == -signal.SIGTERM
        assert Process(["sh", "-c", "exit 6"], join=[(fds[3], 0)]).wait() == 6
    finally:
        for fd in fds:
            os.close(fd)
        holder.kill()
        holder.wait()


# ---- Many ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cgroup():
    """A cgroup of version 2 that must be empty in the end; None where none can be made."""
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        path = f"{mount}/kthreads-test-{os.getpid()}"
        if os.path.exists(f"{mount}/cgroup.procs") and os.access(mount, os.W_OK):
            os.mkdir(path)
            yield path
            os.rmdir(path)
            return
    yield None


def test_it_is_born_in_its_cgroup(cgroup):
    if cgroup is None:
        pytest.skip("no cgroup (version 2) that can be written to")
    inside = [line for line in shell("cat /proc/self/cgroup", cgroup=cgroup).splitlines() if line.startswith("0::")]
    assert inside == [f"0::/{os.path.basename(cgroup)}"]


@needs_root
def test_a_new_cgroup_namespace_begins_at_the_process_s_own_cgroup(cgroup):
    if cgroup is None:
        pytest.skip("no cgroup (version 2) that can be written to")
    assert "0::/\n" in shell("cat /proc/self/cgroup", cgroup=cgroup, namespaces=CloneFlags.NEWCGROUP)


@isolated
@pytest.mark.timeout(3600)
def test_many_starts_leave_nothing_behind(cgroup):
    """The fixtures look for zombies, descriptors, mounts and processes in the cgroup; here, for memory too."""
    kthreads.memory.trim()
    before = kthreads.memory.usage().stacks
    for number in range(STARTS):
        kind = number % 4
        if kind == 0:
            assert Process(["true"], cgroup=cgroup).wait() == 0
        elif kind == 1:
            options = {"root": Tmpfs(), "mounts": SYSTEM, "init": True, "cgroup": cgroup}
            assert Process(["true"], namespaces=SIX, **options).wait() == 0
        elif kind == 2:
            assert Process(["true"], namespaces=SIX).wait() == 0
        else:
            with pytest.raises(FileNotFoundError):
                Process(["/nowhere"], namespaces=SIX)
    Process(["true"]).wait()
    kthreads.memory.trim()
    assert kthreads.memory.usage().stacks == before
