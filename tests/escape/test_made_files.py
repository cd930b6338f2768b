"""Hostile files where a container makes folders, links and mount points, and where it writes settings of the kernel."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.any_python

POINTS = ["Bind('/etc/passwd', '/made')", "Device('/dev/null', '/made')"]


@pytest.mark.parametrize("mount", POINTS)
def test_a_fifo_at_a_mount_point_keeps_no_start_waiting(attack, mount):
    os.mkfifo(attack.root / "made")
    script = f'print(run("/bin/stat", "-c", "%F", "/made", root=sys.argv[1], mounts=[{mount}]))'
    kind = "regular file" if "Bind" in mount else "character special file"
    assert attack.python(script, attack.root) == f"{kind}|0"


@pytest.mark.parametrize(
    "mount", [*POINTS, "Directory('/made')", "Directory('/made/x')", "Symlink('a', '/made/x')", "Tmpfs('/made')"]
)
def test_a_loop_of_links_is_an_error(attack, mount):
    (attack.root / "made").symlink_to("other")
    (attack.root / "other").symlink_to("made")
    out = attack.python(f'print(run("/bin/true", root=sys.argv[1], mounts=[{mount}]))', attack.root)
    assert out.startswith("refused: [Errno 40] cannot "), out


def test_a_link_that_is_there_is_not_taken_for_another_one(attack):
    """The program would follow it to where its maker wants, not to where the starter said."""
    (attack.root / "made").symlink_to("/etc/of-the-enemy")
    out = attack.python(
        'print(run("/bin/true", root=sys.argv[1], mounts=[Symlink("/etc/passwd", "/made")]))', attack.root
    )
    assert out == "refused: [Errno 17] cannot make the symbolic link /made: File exists"


@pytest.mark.parametrize(
    "mount", ["Directory('/up/made')", "Symlink('x', '/up/made')", "Bind('/etc/passwd', '/up/made')"]
)
@pytest.mark.parametrize("link", ["../../../../../../../../{host}", "{host}"])
def test_a_link_out_of_the_root_leads_to_the_same_path_in_the_root(attack, mount, link):
    (attack.root / "up").symlink_to(link.format(host=attack.host))
    (attack.root / str(attack.host).lstrip("/")).mkdir(parents=True)
    for path in (attack.root / "tmp").rglob("*"):
        os.chown(path, attack.uid, attack.uid)
    out = attack.python(f'print(run("/bin/true", root=sys.argv[1], mounts=[{mount}]))', attack.root)
    assert (out, attack.changes) == ("|0", [])
    assert os.path.lexists(attack.root / str(attack.host).lstrip("/") / "made")


def test_settings_of_the_kernel_are_not_written_to_files_of_the_root(attack):
    """They are written before the root changes: what lies at their paths in it gets nothing."""
    below = attack.root / "proc" / "sys" / "net" / "ipv4"
    below.mkdir(parents=True)
    (below / "ip_forward").symlink_to("/target")
    (attack.root / "target").touch()
    script = """
    print(run("/bin/cat", "/target", root=sys.argv[1], proc=False, sysctls={"net.ipv4.ip_forward": 1}))
    """
    assert attack.python(script, attack.root) == "|0"
