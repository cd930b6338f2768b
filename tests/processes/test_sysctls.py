"""The names of a UTS namespace, and settings of the kernel in new namespaces: `domainname` and `sysctls`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from process_runs import SIX, isolated, needs_root, shell

import kthreads
from kthreads import CloneFlags, Process

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), pytest.mark.any_python]

OF_NAMESPACES = {
    "net.ipv4.ip_forward": "1",
    "net/ipv4/conf/lo/forwarding": "1",
    "kernel.shmmax": "123456",
    "kernel.msgmnb": "4321",
    "fs.mqueue.msg_max": "7",
    "kernel.domainname": "of.sysctl",
}


def path_of(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


@isolated
@pytest.mark.parametrize("init", [False, True])
def test_settings_of_new_namespaces_are_set_there_alone(init):
    before = {name: Path(path_of(name)).read_text() for name in OF_NAMESPACES}
    out = shell("cat " + " ".join(map(path_of, OF_NAMESPACES)), namespaces=SIX, init=init, sysctls=OF_NAMESPACES)
    assert out.split("\n")[:-1] == list(OF_NAMESPACES.values())
    assert {name: Path(path_of(name)).read_text() for name in OF_NAMESPACES} == before


@isolated
def test_a_setting_may_be_a_number():
    assert shell(f"cat {path_of('net.ipv4.ip_forward')}", namespaces=SIX, sysctls={"net.ipv4.ip_forward": 1}) == "1\n"


@isolated
def test_settings_of_user_namespaces_are_those_of_the_new_one():
    name = "user.max_time_namespaces"
    assert shell(f"cat {path_of(name)}", namespaces=SIX, sysctls={name: 3}) == "3\n"


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("net.ipv4.ip_forward", "NEWNET"),
        ("kernel.shmmax", "NEWIPC"),
        ("fs.mqueue.msg_max", "NEWIPC"),
        ("kernel.hostname", "NEWUTS"),
        ("user.max_user_namespaces", "NEWUSER"),
    ],
)
def test_a_setting_of_a_namespace_that_is_not_new_is_refused(name, flag):
    with pytest.raises(ValueError, match=f"{name} would change the host: add CloneFlags.{flag}"):
        Process(["true"], namespaces=SIX & ~CloneFlags[flag], sysctls={name: "1"})


@pytest.mark.parametrize(
    "name", ["kernel.core_pattern", "kernel/modprobe", "vm.overcommit_memory", "fs.file-max", "debug.x"]
)
def test_a_setting_of_the_host_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is of the host"):
        Process(["true"], namespaces=SIX, sysctls={name: "1"})


@pytest.mark.parametrize(
    "name", ["net/../kernel/core_pattern", "net..ip", "net", "", "/net/ipv4/ip_forward", "net/./x", "net."]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="not a name of a sysctl"):
        Process(["true"], namespaces=SIX, sysctls={name: "1"})


@pytest.mark.parametrize("sysctls", [["net.x"], "net.x=1", {1: "1"}, {"net.x": 1.5}, {"net.x": None}])
def test_what_is_no_setting_is_a_type_error(sysctls):
    with pytest.raises(TypeError, match="sysctls"):
        Process(["true"], namespaces=SIX, sysctls=sysctls)


@isolated
@pytest.mark.parametrize(("name", "kind"), [("net.fly", FileNotFoundError), ("net.ipv4.ip_forward", OSError)])
def test_a_setting_that_the_kernel_refuses_is_an_error_that_names_its_file(name, kind):
    with pytest.raises(kind, match=f"cannot write 'x' to {path_of(name)}") as raised:
        Process(["true"], namespaces=SIX, sysctls={name: "x"})
    assert raised.value.filename == path_of(name)


@needs_root
@isolated
def test_a_joined_mount_namespace_gets_no_settings():
    with open("/proc/self/ns/mnt") as mounts, pytest.raises(ValueError, match="joined"):
        Process(["true"], namespaces=SIX, join=[(mounts.fileno(), 0)], sysctls={"net.ipv4.ip_forward": 1})


@isolated
def test_the_domain_name_is_its_own():
    domain = Path("/proc/sys/kernel/domainname")
    before = domain.read_text()
    assert shell(f"cat {domain}", namespaces=SIX, domainname="inside.example") == "inside.example\n"
    assert domain.read_text() == before


def test_a_domain_name_needs_a_namespace_for_it():
    with pytest.raises(ValueError, match="NEWUTS"):
        Process(["true"], domainname="x")


@isolated
@pytest.mark.parametrize("what", ["hostname", "domainname"])
def test_a_name_of_a_host_has_at_most_64_bytes(what):
    assert shell("true", namespaces=SIX, **{what: "x" * 64}) == ""
    for name in ("x" * 65, "ä" * 33):
        with pytest.raises(ValueError, match=f"{what} must have at most 64 bytes"):
            Process(["true"], namespaces=SIX, **{what: name})


@needs_root
def test_an_ordinary_user_sets_them_in_a_user_namespace_of_its_own(tmp_path):
    from process_runs import become_nobody

    def unprivileged() -> int:
        become_nobody()
        try:
            out = shell(
                "cat /proc/sys/net/ipv4/ip_forward",
                namespaces=SIX,
                uid_map="root",
                gid_map="root",
                sysctls={"net.ipv4.ip_forward": 1},
            )
        except kthreads.errors.NamespaceError:
            return 77
        return int(out)

    process = Process(unprivileged, no_new_privs=False)
    if process.wait(30) == 77:
        pytest.skip("no unprivileged user namespaces")
    assert process.returncode == 1
    assert os.geteuid() == 0
