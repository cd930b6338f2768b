"""Device nodes and set-user-id bits in the files of an enemy, and what a read-only container can still write."""

from __future__ import annotations

import os
import stat

import pytest

pytestmark = pytest.mark.any_python


@pytest.mark.parametrize("mount", ["root", "bind", "overlay", "temporary overlay", "root overlay"])
def test_a_device_node_in_a_hostile_folder_cannot_be_opened(attack_by_root, mount):
    attack = attack_by_root
    in_root = mount.startswith("root")
    folder = attack.root / "etc" if in_root else attack.host
    os.mknod(folder / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    script = """
    root, host, mount = sys.argv[1:]
    mounts = {"bind": [Bind(host, "/mnt")], "overlay": [Overlay("/mnt", [host, root + "/etc"])],
              "temporary overlay": [Overlay("/mnt", [host], temporary=True)]}.get(mount, [])
    root = Overlay("/", [root], temporary=True) if mount == "root overlay" else root
    print(run("/bin/head", "-c1", "/etc/zero" if mount.startswith("root") else "/mnt/zero", root=root, mounts=mounts))
    """
    assert attack.python(script, attack.root, attack.host, mount) in (
        f"head: /{'etc' if in_root else 'mnt'}/zero: Permission denied|1",
        f"head: can't open '/{'etc' if in_root else 'mnt'}/zero': Permission denied|1",
    )


def test_device_nodes_open_where_it_is_asked_for(attack_by_root):
    attack = attack_by_root
    os.mknod(attack.host / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    for option, status in ((f"{attack.host}:/mnt:dev,suid", "0"), (f"{attack.host}:/mnt:ro", "1")):
        out = attack.in_container("head -c1 /mnt/zero >/dev/null 2>&1; echo $?", "--bind", option)
        assert out == status


def test_no_program_gains_privileges_by_a_bit_of_its_file(attack):
    out = attack.in_container("cut -d' ' -f5,6 /proc/self/mountinfo", "--bind", f"{attack.host}:/mnt")
    options = dict(line.split(" ") for line in out.splitlines())
    for point in ("/", "/mnt"):
        assert {"nosuid", "nodev"} <= set(options[point].split(",")), options


def test_a_read_only_container_on_the_host_s_root_can_write_nothing_that_is_mounted_in_it(attack):
    script = "cut -d' ' -f5,6 /proc/self/mountinfo"
    done = attack.command("run", "--read-only", "--tmpfs", "/mnt", "--", "sh", "-c", script)
    points = [line.split(" ") for line in done.stdout.splitlines()]
    assert {"/", "/tmp", "/mnt", "/proc"} <= {point for point, _ in points}
    seen = {}
    for point, options in points:  # the last one at a point hides the others
        seen[point] = options.split(",")[0]
    assert {point for point, mode in seen.items() if mode != "ro" and not point.startswith("/proc/")} == {
        "/tmp",
        "/mnt",
        "/proc",
    }


NAMES = ["a:b", r"a\b", r"a\:b", "a,b", "\\", "c:/etc", "trailing\\"]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_folder_adds_no_layer_to_an_overlay(attack, name):
    script = """
    root, host, name = sys.argv[1:]
    low, high, work = (os.path.join(host, each, name) for each in ("low", "high", "work"))
    for folder in (low, high, work):
        os.makedirs(folder)
    open(low + "/below", "w").close()
    shell = ["/bin/sh", "-c", "echo $(ls /mnt); touch /mnt/above"]
    overlay = Overlay("/mnt", [low], high, work)
    out = run(*shell, root=root, mounts=[overlay])
    print(out, os.listdir(high))
    """
    out = attack.python(script, attack.root, attack.host, name)
    assert out == "below|0 ['above']"
