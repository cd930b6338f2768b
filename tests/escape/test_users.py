"""Hostile files of users and groups in a root, where the program is to run as a user that is given by name."""

from __future__ import annotations

import os
import pwd

import pytest

pytestmark = pytest.mark.any_python

NAMES = ["passwd", "group"]


def fifo(attack, path):
    os.mkfifo(path)


def loop(attack, path):
    path.symlink_to("loop")
    (path.parent / "loop").symlink_to(path.name)


def link_out(attack, path):
    (attack.host / path.name).write_text("secret:x:0:0::/the-host-s-secret:/bin/sh\n")
    path.symlink_to(attack.host / path.name)


def link_up(attack, path):
    (attack.host / path.name).write_text("secret:x:0:0::/the-host-s-secret:/bin/sh\n")
    path.symlink_to(f"../../../../../../../..{attack.host}/{path.name}")


def magic_link(attack, path):
    """To each descriptor that the command may have open."""
    path.symlink_to("/proc/self/fd/0")


def device(attack, path):
    os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5)) if attack.uid == 0 else path.symlink_to("/dev/zero")


def endless_line(attack, path):
    path.write_text("a" * (1 << 21))


ATTACKS = [fifo, loop, link_out, link_up, magic_link, device, endless_line]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", ATTACKS)
def test_a_user_s_name_is_looked_up_in_the_root_alone_and_without_waiting(attack, make, name):
    (attack.root / "etc" / "passwd").write_text("someone:x:0:0::/:/bin/sh\n")
    (attack.root / "etc" / name).unlink(missing_ok=True)
    make(attack, attack.root / "etc" / name)
    user = {"passwd": "secret", "group": "someone:secret"}[name]
    with open("/etc/passwd") as passwd:
        done = attack.command("run", "--root", attack.root, "--user", user, "--", "id", stdin=passwd)
    assert done.returncode == 125, done.stdout
    assert done.stdout.startswith("kthreads run: "), done.stdout
    assert "Traceback" not in done.stdout
    assert "the-host-s-secret" not in done.stdout


def test_process_takes_names_from_the_host_and_never_from_the_root(attack_by_root):
    """user= is of subprocess.Popen, which asks the host's database."""
    os.mkfifo(attack_by_root.root / "etc" / "passwd")
    os.mkfifo(attack_by_root.root / "etc" / "group")
    nobody = pwd.getpwuid(65534).pw_name
    script = f"""
    print(run("/bin/grep", "Uid", "/proc/self/status", root=sys.argv[1], user={nobody!r}, extra_groups=[]))
    """
    assert attack_by_root.python(script, attack_by_root.root).split("\t") == ["Uid:", *["65534"] * 3, "65534|0"]
