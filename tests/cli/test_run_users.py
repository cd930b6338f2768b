"""`kthreads run --user`: numbers and names, and what an enemy may write into the files that names are looked up in."""

from __future__ import annotations

import os
import shutil
import threading

import pytest
from containers import PATIENCE, container_tests, run

from kthreads.cli.accounts import Account, AccountError, account_of

pytestmark = container_tests

PASSWD = "root:x:0:0::/root:/bin/sh\n# comment\nbob:x:77:88:Bob:/home/bob:/bin/sh\nbad:x:4294967295:0::/:\nworse:x:-1:²::/:\n"
GROUP = "bobs:x:88:\nwheel:x:99:alice,bob\nbad:x:y:bob\nstaff:x:5:bob\n"


@pytest.fixture
def users(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(PASSWD)
    (tmp_path / "etc" / "group").write_text(GROUP)
    return tmp_path


@pytest.mark.parametrize(
    ("user", "group", "account"),
    [
        ("bob", "", Account(77, 88, [99, 5], "/home/bob")),
        ("77", "", Account(77, 88, [99, 5], "/home/bob")),
        ("bob", "wheel", Account(77, 99, [], "/home/bob")),
        ("bob", "1234", Account(77, 1234, [], "/home/bob")),
        ("1234", "", Account(1234, 1234, [], None)),
        ("1234", "staff", Account(1234, 5, [], None)),
    ],
)
def test_a_user_is_looked_up_in_the_root(users, user, group, account):
    assert account_of((user, group), str(users)) == account


@pytest.mark.parametrize(
    ("user", "group"), [("nobody", ""), ("bad", ""), ("worse", ""), ("bob", "nogroup"), ("# comment", "")]
)
def test_a_name_that_is_not_there_is_refused(users, user, group):
    with pytest.raises(AccountError, match="there is no"):
        account_of((user, group), str(users))


def test_a_root_without_the_files_has_no_names(tmp_path):
    assert account_of(("5", ""), str(tmp_path)) == Account(5, 5, [], None)
    with pytest.raises(AccountError):
        account_of(("root", ""), str(tmp_path))


def test_without_a_root_the_host_s_users_are_meant():
    assert account_of(("root", "root"), None) == Account(0, 0, [], "/root")


def test_a_link_in_the_root_leads_nowhere_else(users):
    (users / "etc" / "passwd").unlink()
    (users / "etc" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):  # to itself, in this root
        account_of(("root", ""), str(users))
    (users / "etc" / "passwd").unlink()
    shutil.rmtree(users / "etc")
    (users / "etc").symlink_to("../../../../../../../../etc")
    with pytest.raises(OSError, match="symbolic links"):
        account_of(("root", ""), str(users))


def test_a_magic_link_in_the_root_is_not_followed(users):
    (users / "etc" / "passwd").unlink()
    with open("/etc/passwd") as secret:
        (users / "proc").symlink_to("/proc")
        (users / "etc" / "passwd").symlink_to(f"/proc/self/fd/{secret.fileno()}")
        with pytest.raises((OSError, AccountError)):
            account_of(("root", ""), str(users))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.mknod(path, 0o20666, os.makedev(1, 5))])
def test_what_is_no_file_is_not_read(users, make):
    path = users / "etc" / "passwd"
    path.unlink()
    make(path)
    found = []

    def look_up():
        with pytest.raises(AccountError, match="no file"):
            account_of(("root", ""), str(users))
        found.append(True)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert found


def test_the_program_runs_as_a_user_by_name(root, users):
    shutil.copytree(root, users, symlinks=True, dirs_exist_ok=True)
    for folder in (users, *users.parents[:2]):
        folder.chmod(0o755)
    done = run("--root", users, "--user", "bob", "--", "sh", "-c", "id -u; id -g; id -G; echo $HOME")
    assert done.stdout.split("\n") == ["77", "88", "88 5 99", "/home/bob", ""]


def test_a_user_of_a_namespace_without_granted_ids_is_the_only_one(root):
    done = run(
        "--root", root, "--userns", "--user", "5:6", "--", "sh", "-c", "id -u; id -g; wc -l < /proc/self/uid_map"
    )
    assert done.stdout.split() == ["5", "6", "1"]
