"""The kernel's own files: a container cannot write them, nor leave its limits, whoever it is inside."""

from __future__ import annotations

import pytest

from kthreads.processes.kernel_files import MASKED, READ_ONLY

pytestmark = pytest.mark.any_python

# Opening shows it: nothing is written. `true` and not `:`, whose failed redirection would end the shell.
WRITABLE = "find {} -type f 2>/dev/null | while read f; do {{ true >> $f; }} 2>/dev/null && echo $f; done | head -n 5"
OF_PROC = " ".join(f"/proc/{name}" for name in READ_ONLY["proc"])


@pytest.mark.parametrize("options", [[], ["--read-only"], ["--userns"], ["--keep-capability=dac_override"]], ids=str)
def test_what_controls_the_kernel_cannot_be_written(attack, options):
    assert attack.in_container(f"echo begun; {WRITABLE.format(OF_PROC)}", *options) == "begun"


def test_it_cannot_be_written_without_a_root_either(attack):
    done = attack.command("run", "--", "sh", "-c", f"echo begun; {WRITABLE.format(OF_PROC)}")
    assert done.stdout == "begun\n"


def test_what_the_kernel_tells_of_the_host_is_hidden(attack):
    names = " ".join(f"/proc/{name}" for name in MASKED["proc"])
    script = (
        f"for f in {names}; do test -d $f && ls -A $f; test -f $f && echo $f; cat $f 2>/dev/null | head -c 10; done"
    )
    assert attack.in_container(f"echo begun; {script}") == "begun"


def test_the_names_of_the_tables_are_protected_by_any_mount_of_proc_and_sys(attack):
    script = """
    find = "find /etc/proc/sys /mnt/power -maxdepth 2 -type f | while read f; do { true >> $f; } 2>/dev/null && echo $f; done | head -n 5"
    print(run("/bin/sh", "-c", find + "; ls -A /mnt/firmware", root=sys.argv[1], mounts=[Proc("/etc/proc"), Sys("/mnt")]))
    """
    assert attack.python(script, attack.root) == "|0"


def test_they_can_be_had_where_a_name_says_so(attack_by_root):
    out = attack_by_root.in_container("true >> /proc/sys/kernel/core_pattern && echo yes", "--writable-kernel-files")
    assert out == "yes"


@pytest.mark.parametrize("where", ["no root", "the host's root", "a bind of the host's root"])
def test_no_cgroup_can_be_entered(attack, where):
    script = """
    folder, options = {
        "no root": ("/", {}),
        "the host's root": ("/", {"root": Bind("/", "/", devices=True)}),
        "a bind of the host's root": ("/mnt", {"root": sys.argv[1], "mounts": [Bind("/", "/mnt")]}),
    }[sys.argv[2]]
    shell = ["/bin/busybox", "sh", "-c"]
    find = f"cd {folder}; find sys/fs/cgroup -name cgroup.procs | while read f; do echo $f; done | wc -l"
    files = run(*shell, find, **options)
    find = f"cd {folder}; find sys/fs/cgroup -name cgroup.procs | while read f; do {{ true >> $f; }} 2>/dev/null && echo $f; done"
    print(files != "0|0", run(*shell, find + "; true", **options))
    """
    out = attack.python(script, attack.root, where)
    if out.startswith("False"):
        pytest.skip("no cgroups are mounted")
    assert out == "True |0"


def test_user_0_of_a_user_namespace_is_not_the_host_s_where_a_range_is_configured(attack_by_root, tmp_path):
    script = """
    import kthreads.processes.idmap as idmap
    idmap.subordinate = lambda kind: (100000, 65536)
    print(run("/bin/cat", "/proc/self/uid_map", root=sys.argv[1], namespaces=SIX | CloneFlags.NEWUSER, uid_map="auto", gid_map="auto"))
    """
    assert attack_by_root.python(script, attack_by_root.root).split() == ["0", "100000", "65536|0"]
