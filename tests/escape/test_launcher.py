"""What executes the program of a container: nothing of the starter is left in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_python

DUMP = r"""
while read range rest; do
  first=$((0x${range%-*} / 4096)); last=$((0x${range#*-} / 4096))
  case $rest in *vvar*|*vsyscall*) continue;; esac
  dd if=/proc/1/mem bs=4096 skip=$first count=$((last - first)) 2>/dev/null
done < /proc/1/maps > /tmp/memory
test -s /tmp/memory && grep -c -a SECRET /tmp/memory
"""


def test_the_init_shows_its_own_command_line_and_environment(attack):
    script = "cat /proc/1/cmdline; echo; cat /proc/1/environ; echo; cat /proc/1/comm; cat /proc/1/exe | head -c 1000"
    out = attack.in_container(
        script + " | grep -c python", "-e", "SECRET=hunter2", "--keep-capability", "sys_ptrace", "--hostname=hunter3"
    )
    assert out.replace("\0", "").splitlines() == ["kthreads-init", "", "kthreads-init", "0"]


def test_the_init_has_nothing_of_the_starter_s_memory(attack):
    script = """
    secret = "secret-" + "".join(["of", "-the-", "starter"])
    kept = [secret * 3 for _ in range(1000)]
    print(run("/bin/sh", "-c", sys.argv[2], root=sys.argv[1], init=True, keep_capabilities=["sys_ptrace"], mounts=[Tmpfs("/tmp")]))
    """
    assert attack.python(script, attack.root, DUMP.replace("SECRET", "secret-of-the-starter")) == "0|1"


@pytest.fixture
def attack_by_executable(attack_by_root):
    """A root in which a program and a script are the file that executes them, by whatever loader the root has for it."""
    attack = attack_by_root
    loader = attack.root / "lib64" / "ld-linux-x86-64.so.2"
    loader.parent.mkdir()
    shutil.copy(attack.root / "bin" / "busybox", loader)
    (attack.root / "link").symlink_to("/proc/self/exe")
    (attack.root / "script").write_text("#!/proc/self/exe\n")
    (attack.root / "script").chmod(0o755)
    return attack


@pytest.mark.parametrize("init", [True, False])
@pytest.mark.parametrize("program", ["/link", "/script"])
def test_no_program_of_the_root_is_the_starter_s_executable(attack_by_executable, program, init):
    script = "print(run(sys.argv[2], root=sys.argv[1], mounts=[Proc()], init=eval(sys.argv[3])))"
    out = attack_by_executable.python(script, attack_by_executable.root, program, init)
    assert out == "|127"  # the launcher's, which does nothing without its arguments; the starter's would be loaded


@pytest.mark.parametrize("program", ["/link", "/script"])
def test_no_program_that_a_command_executes_in_a_root_is_the_interpreter(attack_by_executable, program):
    attack = attack_by_executable
    done = attack.command("unshare", "-fpm", "--mount-proc", "-R", attack.root, program)
    assert (done.returncode, done.stdout) == (127, "")
    words = ["unshare", "-fpm", "--mount-proc", "-R", attack.root, "--kill-child"]
    with subprocess.Popen([*words, "sh", "-c", "echo ready; sleep 60"], stdout=subprocess.PIPE) as target:
        assert target.stdout.readline() == b"ready\n"
        pid = Path(f"/proc/{target.pid}/task/{target.pid}/children").read_text().strip()
        done = attack.command("nsenter", "-t", pid, "-m", "-p", "-r", program)
        target.kill()
    assert (done.returncode, done.stdout) == (127, "")


def test_the_launcher_reports_what_cannot_be_executed(attack):
    (attack.root / "file").write_text("text")
    (attack.root / "file").chmod(0o644)
    script = """
    for program in ("/none", "/file", "/etc"):
        for init in (False, True):
            print(run(program, root=sys.argv[1], init=init))
    """
    out = attack.python(script, attack.root).splitlines()
    assert out == ["refused: [Errno 2] No such file or directory: '/none'"] * 2 + [
        f"refused: [Errno 13] Permission denied: '/{name}'" for name in ("file", "file", "etc", "etc")
    ]
