"""The kinds of kthreads.mounts, and the errors that name the step and the path."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from process_runs import SIX, SYSTEM, isolated, needs_root, shell, tool

import kthreads
from kthreads import CloneFlags, Process
from kthreads.errors import ProcessStartError
from kthreads.mounts import Bind, Dev, Device, Directory, Overlay, Proc, Symlink, Sys, Tmpfs

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), pytest.mark.any_python]


def inside(script: str, *mounts, **options) -> str:
    """What a shell script prints in a root of memory with the system's programs and these mounts."""
    return shell(script, namespaces=SIX, root=Tmpfs(), mounts=[*SYSTEM, *mounts], **options)


# ---- Folders and links ----------------------------------------------------------------------------------------------


@isolated
def test_a_folder_is_made_with_its_mode_and_those_above_it_with_the_usual_one():
    assert inside("stat -c %a /a/b /a", Directory("/a/b", 0o1777)).split() == ["1777", "755"]


@isolated
def test_a_folder_that_is_there_already_is_kept_as_it_is():
    mounts = [Tmpfs("/a", mode=0o711), Directory("/a", 0o777), Symlink("/a", "/link"), Directory("/link/b")]
    assert inside("stat -c %a /a; ls /a", *mounts).split() == ["711", "b"]


@isolated
def test_a_link_is_made_and_may_be_there_already():
    link = Symlink("usr/nowhere", "/far/link")
    assert inside("readlink /far/link", link, link) == "usr/nowhere\n"


@isolated
def test_another_file_where_a_link_is_to_be_made_is_an_error_that_names_it():
    for there in (Symlink("other", "/x"), Directory("/x"), Bind("/etc/passwd", "/x")):
        with pytest.raises(FileExistsError, match="cannot make the symbolic link /x") as raised:
            inside("true", there, Symlink("here", "/x"))
        assert raised.value.filename == "/x"


@isolated
@pytest.mark.parametrize("target", ["/etc/passwd", "/etc/passwd/below"])
def test_a_file_where_a_folder_is_to_be_made_is_an_error_that_names_it(target):
    with pytest.raises(NotADirectoryError, match="cannot make the folder /etc/passwd") as raised:
        inside("true", Bind("/etc/passwd", "/etc/passwd"), Directory(target))
    assert raised.value.filename == "/etc/passwd"


@isolated
def test_without_a_root_they_are_made_in_what_was_mounted_before_and_nowhere_else(tmp_path):
    made = [Directory("/mnt/a"), Symlink("a", "/mnt/b")]
    assert shell("ls /mnt", namespaces=SIX, mounts=[Tmpfs("/mnt"), *made]).split() == ["a", "b"]
    for mounts in ([*made], [made[0], Tmpfs("/mnt")], [made[1]], [Tmpfs("/tmp"), *made]):
        with pytest.raises(ValueError, match="would change the host"):
            Process(["true"], namespaces=SIX, mounts=mounts)
    assert not os.path.lexists("/mnt/a")


@isolated
@pytest.mark.parametrize("umask", [0o77, 0o777])
def test_mount_points_have_the_mode_that_is_meant_whatever_the_umask(umask):
    mounts = [Tmpfs("/a/b"), Bind("/etc/passwd", "/c/passwd"), Directory("/d", 0o750), Dev()]
    before = os.umask(umask)
    try:
        out = inside(
            "umount -l /c/passwd 2>/dev/null; stat -c %a /a /c /d; umask; head -c0 /dev/null && echo ok", *mounts
        )
    finally:
        os.umask(before)
    assert out.split() == ["755", "755", "750", f"{umask:04o}", "ok"]


@needs_root
@isolated
def test_another_user_reaches_a_mount_that_was_made_under_a_strict_umask(tmp_path):
    root = tmp_path / "root"
    for name in ("usr", "bin", "lib", "lib64"):
        (root / name).mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("content")
    (tmp_path / "data").chmod(0o755)
    (tmp_path / "data" / "file").chmod(0o644)
    mounts = [*SYSTEM, Bind(tmp_path / "data", "/far/data"), Bind(tmp_path / "data" / "file", "/near/file")]
    options = {"user": 65534, "group": 65534, "extra_groups": [], "namespaces": SIX & ~CloneFlags.NEWUSER}
    before = os.umask(0o77)
    try:
        assert shell("cat /far/data/file /near/file", root=root, mounts=mounts, **options) == "contentcontent"
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "near" / "file").stat().st_mode) == 0o644


# ---- Binds and devices ----------------------------------------------------------------------------------------------


@isolated
def test_a_bind_of_what_is_missing_may_be_left_out(tmp_path):
    missing = Bind(tmp_path / "missing", "/data", missing_ok=True)
    assert inside("test -e /data || echo none", missing) == "none\n"
    (tmp_path / "missing").mkdir()
    assert inside("test -e /data && echo there", missing) == "there\n"


@isolated
def test_what_is_missing_is_an_error_otherwise_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot take the files at") as raised:
        inside("true", Bind(tmp_path / "missing", "/data"))
    assert raised.value.filename == str(tmp_path / "missing")


@isolated
def test_a_bind_that_is_left_out_hides_no_files_of_the_kernel():
    left_out = Bind("/nowhere", "/proc", missing_ok=True)
    out = shell("cat /proc/1/comm; grep -c ' /proc/sys ro,' /proc/self/mountinfo", namespaces=SIX, mounts=[left_out])
    assert out == "sh\n1\n"


@isolated
def test_a_device_can_be_opened_among_the_few_of_a_new_dev():
    device = Device("/dev/zero", "/dev/nothing")
    out = inside(
        "stat -c %F /dev/nothing; head -c2 /dev/nothing | wc -c; grep -c ' /dev/nothing ' /proc/self/mountinfo",
        Proc(),
        Dev(),
        device,
    )
    assert out == "character special file\n2\n1\n"


@isolated
def test_a_device_has_the_path_of_the_host_where_no_other_is_given():
    assert inside("head -c2 /dev/zero | wc -c", Device("/dev/zero")) == "2\n"


def test_what_is_no_device_is_refused():
    for path in ("/etc/passwd", "/etc"):
        with pytest.raises(ValueError, match=f"{path} is no device"):
            Process(["true"], namespaces=SIX, root=Tmpfs(), mounts=[Device(path)])


@isolated
def test_a_device_that_is_missing_is_an_error_that_names_it():
    with pytest.raises(FileNotFoundError) as raised:
        inside("true", Device("/dev/missing"))
    assert raised.value.filename == "/dev/missing"


@isolated
def test_a_sys_of_its_own_is_read_only_and_masked():
    script = "grep -c ' /sys ro,' /proc/self/mountinfo; ls /sys/class/net; ls /sys/firmware | wc -l"
    assert inside(script, Proc(), Sys()).split() == ["1", "lo", "0"]


# ---- Overlays -------------------------------------------------------------------------------------------------------


def overlays_work(tmp_path) -> None:
    """Skips the test where overlays cannot be mounted at all."""
    (tmp_path / "probe").mkdir()
    try:
        inside("true", Overlay("/mnt", [tmp_path / "probe"], temporary=True))
    except OSError as error:
        pytest.skip(f"no overlays here: {error}")


@isolated
def test_what_is_written_to_a_temporary_overlay_is_gone_at_the_end(tmp_path):
    overlays_work(tmp_path)
    lower = tmp_path / "lower"
    (lower / "folder").mkdir(parents=True)
    (lower / "file").write_text("below")
    lower.chmod(0o751)
    overlay = Overlay("/mnt", [lower], temporary=True)
    script = "cat /mnt/file; cd /mnt; echo above > file; rmdir folder; mkdir folder new; ls; cat file; stat -c %a /mnt"
    assert inside(script, overlay).split() == ["belowfile", "folder", "new", "above", "751"]
    assert inside("cd /mnt; ls; cat file", overlay).split() == ["file", "folder", "below"]
    assert sorted(os.listdir(lower)) == ["file", "folder"]


@needs_root
@isolated
@pytest.mark.parametrize("namespaces", [SIX, SIX & ~CloneFlags.NEWUSER], ids=["user namespace", "host's users"])
def test_a_root_may_be_a_temporary_overlay(tmp_path, namespaces):
    overlays_work(tmp_path)
    root = tmp_path / "root"
    for name in ("usr", "bin", "lib", "lib64", "etc", "proc"):
        (root / name).mkdir(parents=True)
    (root / "etc" / "file").write_text("below\n")
    options = {"namespaces": namespaces, "root": Overlay("/", [root], temporary=True), "mounts": SYSTEM}
    if namespaces & CloneFlags.NEWUSER:
        options |= {"uid_map": "root", "gid_map": "root"}
    out = shell("cat /etc/file; echo above > /etc/file; mkdir /made; cat /etc/file; ls /", **options)
    assert out.split() == ["below", "above", "bin", "etc", "lib", "lib64", "made", "proc", "usr"]
    assert (root / "etc" / "file").read_text() == "below\n"
    assert "Read-only" in shell("echo above 2>&1 > /etc/file; true", read_only=True, **options)


@isolated
def test_an_overlay_of_a_folder_with_mounts_below_is_an_error_in_a_user_namespace_that_says_why(tmp_path):
    overlays_work(tmp_path)
    with pytest.raises(OSError, match=r"cannot mount overlay on /mnt \(a user namespace needs .* without mounts below"):
        inside("true", Overlay("/mnt", ["/"], temporary=True))


@isolated
def test_many_folders_with_long_names_lie_on_top_of_one_another(tmp_path):
    overlays_work(tmp_path)
    folders = [tmp_path / f"{number}:\\{'x' * 60}" for number in range(10)]
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / f"of{number}").touch()
        (folder / "file").write_text(str(number))
    try:
        out = inside("ls /mnt; cat /mnt/file", Overlay("/mnt", folders))
    except ProcessStartError as error:
        pytest.skip(f"a kernel before 6.8: {error}")
    assert out.split() == ["file", *(f"of{number}" for number in range(10)), "0"]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"lower": "/lower"}, TypeError, "lower must be a list"),
        ({"lower": Path("/lower")}, TypeError, "lower must be a list"),
        ({"lower": []}, ValueError, "two folders or more"),
        ({"lower": [], "temporary": True}, ValueError, "two folders or more"),
        ({"lower": ["/a"]}, ValueError, "two folders or more"),
        ({"lower": ["/a"], "upper": "/b"}, ValueError, "go together"),
        ({"lower": ["/a"], "work": "/b"}, ValueError, "go together"),
        ({"lower": ["/a"], "upper": "/b", "work": "/c", "temporary": True}, ValueError, "instead of"),
    ],
)
def test_an_overlay_that_cannot_be_is_refused(options, error, text):
    with pytest.raises(error, match=text):
        Overlay("/mnt", **options)


# ---- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "a\0b"])
@pytest.mark.parametrize(
    "make",
    [
        lambda path: Process(["true"], namespaces=SIX, root=path),
        lambda path: Bind(path, "/mnt"),
        lambda path: Overlay("/mnt", [path, "/usr"]),
        lambda path: Overlay("/mnt", ["/usr"], upper=path, work="/tmp"),
        lambda path: Overlay("/mnt", ["/usr"], upper="/tmp", work=path),
    ],
    ids=["root", "bind", "lower", "upper", "work"],
)
def test_what_is_no_path_is_refused_and_not_taken_for_the_working_directory(make, path):
    with pytest.raises(ValueError, match="must be a path"):
        make(path)


@pytest.mark.parametrize("target", ["//", "//."])
def test_a_target_of_slashes_is_the_root_and_refused(target):
    with pytest.raises(ValueError, match="below /"):
        Process(["true"], namespaces=SIX, mounts=[Tmpfs(target)])


@isolated
def test_a_root_that_is_a_file_is_an_error_that_names_it():
    for root in ("/etc/passwd", Bind("/etc/passwd", "/"), Path("/etc/passwd")):
        with pytest.raises(NotADirectoryError, match="cannot make /etc/passwd the root") as raised:
            Process(["true"], namespaces=SIX, root=root)
        assert (raised.value.filename, isinstance(raised.value, ProcessStartError)) == ("/etc/passwd", True)


@isolated
@pytest.mark.parametrize(("source", "target"), [("/etc/passwd", "/mnt"), ("/usr", "/etc/passwd")])
@pytest.mark.parametrize("root", [None, Tmpfs()], ids=["host", "root"])
def test_a_file_on_a_folder_and_a_folder_on_a_file_are_errors_that_name_both(source, target, root):
    there = [] if root is None else [*SYSTEM, Directory("/mnt"), Bind("/etc/passwd", "/etc/passwd")]
    with pytest.raises(NotADirectoryError, match=f"cannot (mount {source} on|make the folder) {target}") as raised:
        Process(["true"], namespaces=SIX, root=root, mounts=[*there, Bind(source, target)])
    assert raised.value.filename == target


@isolated
def test_a_mount_that_cannot_be_made_names_its_kind_and_its_place():
    with pytest.raises(FileNotFoundError, match="cannot mount tmpfs on /nowhere") as raised:
        Process(["true"], namespaces=SIX, mounts=[Tmpfs("/nowhere")])
    assert raised.value.filename == "/nowhere"
    with pytest.raises(OSError, match="cannot mount overlay on /mnt") as raised:
        Process(["true"], namespaces=SIX, mounts=[Overlay("/mnt", ["/nowhere", "/none"])])
    assert raised.value.filename == "/mnt"


@isolated
@needs_root
def test_a_missing_device_of_a_new_dev_is_an_error_that_names_it():
    """In a mount namespace in which the host's /dev has nothing but a null."""

    def start() -> int:
        Path("/dev/null").touch()
        try:
            Process(["true"], namespaces=CloneFlags.NEWNS, root=Tmpfs(), mounts=[*SYSTEM, Dev()])
        except FileNotFoundError as error:
            return 7 if (error.filename, "/dev/zero" in str(error)) == ("/dev/zero", True) else 1
        return 2

    outer = Process(start, namespaces=CloneFlags.NEWNS, mounts=[Tmpfs("/dev")], keep_capabilities="all")
    assert outer.wait(30) == 7


@isolated
def test_a_deleted_working_directory_keeps_no_container_from_starting(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert Process(["true"], namespaces=SIX, mounts=[Tmpfs("/mnt")]).wait() == 0
    assert inside("pwd") == "/\n"
    for start in (
        lambda: Process(["true"], namespaces=SIX, root="box"),
        lambda: Process(["true"], namespaces=SIX, mounts=[Bind("box", "/mnt")]),
        lambda: Bind("box"),
        lambda: Device("box"),
    ):
        with pytest.raises(FileNotFoundError, match="cannot find box: the working directory was deleted") as raised:
            start()
        assert raised.value.filename == "box"


@pytest.mark.parametrize("mounts", [Tmpfs("/mnt"), "/mnt", b"/mnt", 5, ["/mnt"], [Tmpfs], [None]])
def test_what_is_no_list_of_mounts_is_a_type_error_that_says_so(mounts):
    with pytest.raises(TypeError, match="mounts must be"):
        Process(["true"], namespaces=SIX, mounts=mounts)


@pytest.mark.parametrize("path", [5, None, b"/mnt"])
def test_a_path_is_a_str_or_path(path):
    for make in (
        lambda: Bind(path),
        lambda: Device(path, "/x"),
        lambda: Process(["true"], namespaces=SIX, mounts=[Tmpfs(path)]),
    ):
        with pytest.raises(TypeError, match=r"(source|target) must be a path"):
            make()


@pytest.mark.parametrize("size", [0, -1, "64m", 1.5])
def test_a_size_is_a_number_of_bytes(size):
    with pytest.raises(ValueError, match="size must be"):
        Tmpfs("/tmp", size=size)


@pytest.mark.parametrize("mode", [-1, 0o10000, "755", None])
def test_a_mode_is_bits_of_permissions(mode):
    for kind in (Tmpfs, Directory):
        with pytest.raises(ValueError, match="mode must be"):
            kind("/tmp", mode=mode)


@isolated
@tool("bwrap")
def test_folders_links_and_missing_binds_are_made_as_by_bwrap():
    script = "stat -c '%a %F' /a /a/b /link; readlink /link; ls /"
    binds = [word for bind in SYSTEM for word in ("--ro-bind", str(bind.source), str(bind.source))]
    theirs = subprocess.run(
        ["bwrap", "--unshare-all", *binds, "--dir", "/a/b", "--symlink", "a/b", "/link"]
        + ["--ro-bind-try", "/nowhere", "/none", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    ours = inside(
        script,
        Directory("/a/b"),
        Symlink("a/b", "/link"),
        Bind("/nowhere", "/none", missing_ok=True),
        proc=False,
    )
    assert ours == theirs


def test_errors_have_the_subclass_of_their_errno_value():
    for code, kind in {2: FileNotFoundError, 13: PermissionError, 1: PermissionError, 17: FileExistsError,
                       20: NotADirectoryError, 21: IsADirectoryError, 11: BlockingIOError, 22: OSError}.items():  # fmt: skip
        error = kthreads.errors.process_error(code, "step", filename=None, path="/x")
        assert isinstance(error, kind)
        assert isinstance(error, ProcessStartError)
        assert (error.errno, error.filename, error.step) == (code, "/x", "step")
