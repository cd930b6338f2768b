"""`kthreads run --map-auto` and `--user` in a user namespace, by root and by an ordinary user whom the test makes."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from containers import KTHREADS, PATIENCE, container_tests
from ordinary import kthreads_as
from process_runs import isolated

from kthreads import CloneFlags, Process
from kthreads.mounts import Bind

pytestmark = [*container_tests, isolated]

USER = GROUP = 4321  # kthreads_as sets both to one number
FILES = {
    "passwd": f"root:x:0:0::/root:/bin/sh\nkeeper:x:{USER}:{GROUP}::/:/bin/sh\n",
    "group": f"root:x:0:\nkeeper:x:{GROUP}:\n",
    "subuid": "root:100000:1000\nkeeper:200000:1000\n",
    "subgid": "root:300000:1000\nkeeper:400000:1000\n",
}
STARTERS = {"root": KTHREADS, "ordinary": kthreads_as(USER)}
needs_helpers = pytest.mark.skipif(
    shutil.which("newuidmap") is None or not os.path.exists("/etc/subuid"), reason="no newuidmap, or no /etc/subuid"
)


@pytest.fixture
def printed(tmp_path, root):
    """What a shell script in a container prints that a user starts, where there are these users and ranges."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)

    def run(starter, script, *options):
        words = ["run", "--root", root, "-v", f"{tmp_path}/shared:/mnt", *options, "--", "sh", "-c", script]
        process = Process(
            [*STARTERS[starter], *map(str, words)],
            namespaces=CloneFlags.NEWNS,
            mounts=[
                Bind(tmp_path / name, f"/etc/{name}", missing_ok=True)
                for name in FILES
                if os.path.exists(f"/etc/{name}")
            ],
            keep_capabilities="all",
            no_new_privs=False,  # newuidmap is set-user-id
            writable_kernel_files=True,  # a container within hidden files of /proc gets no /proc of its own
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return process.communicate(timeout=PATIENCE)[0].split()

    return run


@needs_helpers
@pytest.mark.parametrize(
    ("starter", "users", "groups"),
    [
        ("root", "0 100000 1000", "0 300000 1000"),
        ("ordinary", f"0 {USER} 1 1 200000 1000", f"0 {GROUP} 1 1 400000 1000"),
    ],
)
def test_map_auto_maps_the_ids_that_are_granted(printed, starter, users, groups):
    assert printed(starter, "cat /proc/self/uid_map", "--map-auto") == users.split()
    assert printed(starter, "cat /proc/self/gid_map", "--map-auto") == groups.split()


@needs_helpers
@pytest.mark.parametrize(("starter", "owner"), [("root", (100005, 300006)), ("ordinary", (200004, 400005))])
def test_a_user_of_map_auto_is_one_of_the_granted_outside(printed, tmp_path, starter, owner):
    assert printed(starter, "id -u; id -g; touch /mnt/file", "--map-auto", "--user", "5:6") == ["5", "6"]
    made = (tmp_path / "shared" / "file").stat()
    assert (made.st_uid, made.st_gid) == owner


def test_an_ordinary_user_is_the_user_that_is_asked_for(printed, tmp_path):
    script = "id -u; id -g; cat /proc/self/uid_map; touch /mnt/file"
    assert printed("ordinary", script, "--user", "5:6") == ["5", "6", "5", str(USER), "1"]
    made = (tmp_path / "shared" / "file").stat()
    assert (made.st_uid, made.st_gid) == (USER, GROUP)


def test_the_user_that_is_asked_for_keeps_no_capability_in_its_namespace(printed):
    assert printed("ordinary", "grep CapEff /proc/self/status", "--user", "5") == ["CapEff:", "0" * 16]
