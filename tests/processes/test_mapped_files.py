"""Binds whose files are seen with other user and group ids: `uid_map` and `gid_map` of kthreads.mounts.Bind."""

from __future__ import annotations

import errno
import os

import pytest
from process_runs import SIX, SYSTEM, become_nobody, isolated, needs_root, shell

from kthreads import CloneFlags, Process
from kthreads.mounts import Bind, Tmpfs

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), pytest.mark.any_python, isolated, needs_root]

HOSTS_USERS = SIX & ~CloneFlags.NEWUSER
RANGES = ((0, 5000, 1000), (1000, 100000, 1000))
INSIDE = ((0, 200000, 65536),)
SHOW = "stat -c %u:%g /data/of-root /data/of-user"


@pytest.fixture
def files(tmp_path):
    """A folder with a file of user 0 and one of user 1000 and group 1001, on a file system that can map ids."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    (tmp_path / "of-root").touch()
    (tmp_path / "of-user").touch()
    os.chown(tmp_path / "of-user", 1000, 1001)
    try:
        shown(Bind(tmp_path, "/data", uid_map=RANGES))
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise
        pytest.skip(f"no mapped ids here: {error}")
    return tmp_path


def shown(bind, script=SHOW, **options) -> list[str]:
    return shell(script, root=Tmpfs(), mounts=[*SYSTEM, bind], **({"namespaces": HOSTS_USERS} | options)).split()


def test_the_files_are_seen_with_the_ids_that_the_ranges_say(files):
    bind = Bind(files, "/data", uid_map=RANGES, gid_map=RANGES)
    assert shown(bind) == ["5000:5000", "100000:100001"]
    assert [os.stat(files / name).st_uid for name in ("of-root", "of-user")] == [0, 1000]


def test_the_ids_that_are_not_given_stay_as_they_are(files):
    assert shown(Bind(files, "/data", uid_map=RANGES)) == ["5000:0", "100000:1001"]
    assert shown(Bind(files, "/data", gid_map=RANGES)) == ["0:5000", "1000:100001"]


def test_files_of_a_user_namespace_can_have_the_ids_that_they_have_inside(files):
    options = {"namespaces": SIX, "uid_map": INSIDE, "gid_map": INSIDE}
    assert shown(Bind(files, "/data"), **options) == ["65534:65534"] * 2
    bind = Bind(files, "/data", uid_map="process", gid_map="process")
    assert shown(bind, SHOW + "; touch /data/new; stat -c %u:%g /data/new", **options) == ["0:0", "1000:1001", "0:0"]
    assert os.stat(files / "new").st_uid == 0


def test_such_a_bind_is_a_root_too(files):
    for name in ("usr", "bin", "lib", "lib64"):
        (files / name).mkdir()
    root = Bind(files, "/", uid_map="process", gid_map="process")
    options = {"namespaces": SIX, "uid_map": INSIDE, "gid_map": INSIDE, "mounts": SYSTEM, "root": root}
    out = shell("stat -c %u:%g / /of-user; echo made > /made; grep ' / ' /proc/mounts", proc=True, **options)
    assert out.split()[:2] == ["0:0", "1000:1001"]
    assert {"nosuid", "nodev"} <= set(out.split()[-3].split(","))
    assert os.stat(files / "made").st_uid == 0


def test_it_can_be_read_only_and_has_no_devices_either(files):
    bind = Bind(files, "/data", uid_map=RANGES, gid_map=RANGES, read_only=True)
    out = shown(bind, "grep ' /data ' /proc/self/mountinfo", proc=True)
    assert any({"ro", "nosuid", "nodev"} <= set(word.split(",")) for word in out)


def test_files_that_cannot_have_other_ids_are_an_error_that_names_them():
    with pytest.raises(OSError, match="cannot map the ids of the files at /proc, which the file systems") as raised:
        shown(Bind("/proc", "/data", uid_map=RANGES))
    assert raised.value.filename == "/proc"


def test_files_that_are_missing_are_an_error_that_names_them():
    with pytest.raises(FileNotFoundError, match="cannot map the ids of the files at /nowhere"):
        shown(Bind("/nowhere", "/data", uid_map=RANGES))
    assert shown(Bind("/nowhere", "/data", uid_map=RANGES, missing_ok=True), "echo ok") == ["ok"]


def test_an_ordinary_user_may_not_do_so(files):
    def unprivileged() -> int:
        become_nobody()
        try:
            shown(
                Bind(files, "/data", uid_map="process", gid_map="process"),
                namespaces=SIX,
                uid_map="root",
                gid_map="root",
            )
        except PermissionError as error:
            return 7 if "needs CAP_SYS_ADMIN" in str(error) and error.filename == str(files) else 2
        return 3

    assert Process(unprivileged, no_new_privs=False).wait(30) == 7


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        ("root", ValueError),
        ([(0, 0, 0)], ValueError),
        ([(0, 2**32, 1)], ValueError),
        ([5], TypeError),
        (1.5, TypeError),
        ([], ValueError),
    ],
)
def test_what_are_no_ranges_is_refused(ids, error):
    with pytest.raises(error, match=r"map|id"):
        Bind("/etc", "/data", uid_map=ids)


def test_the_ids_of_the_process_need_a_user_namespace_of_its_own():
    with pytest.raises(ValueError, match="NEWUSER"):
        Process(["true"], namespaces=HOSTS_USERS, mounts=[Bind("/etc", "/data", uid_map="process")])
