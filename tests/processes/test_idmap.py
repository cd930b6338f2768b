"""Ids of user namespaces: which inside stands for which outside."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from process_runs import SIX, become_nobody, isolated, needs_root, shell, tool

from kthreads import CloneFlags, Process, UnsupportedError
from kthreads.mounts import Bind

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), pytest.mark.any_python]


@isolated
@pytest.mark.parametrize(("given", "inside"), [("root", 0), ("current", os.geteuid()), (77, 77)])
def test_ids_are_mapped(given, inside):
    out = shell("id -u; id -g; cat /proc/self/setgroups", namespaces=SIX, uid_map=given, gid_map=given).split()
    assert out == [str(inside), str(os.getegid() if given == "current" else inside), "deny"]


@needs_root
@isolated
def test_ranges_of_ids_are_mapped_and_the_lowest_is_taken():
    ranges = [(0, 100000, 1000)]
    out = shell(
        "id -u; id -g; cat /proc/self/setgroups; cat /proc/self/uid_map", namespaces=SIX, uid_map=ranges, gid_map=ranges
    ).split()
    assert out == ["0", "0", "allow", "0", "100000", "1000"]


@isolated
@tool("unshare")
def test_ids_are_those_of_unshare():
    script = "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; uname -n"
    theirs = subprocess.run(
        ["unshare", "-Ur", "-muipn", "--fork", "sh", "-c", script], capture_output=True, text=True, check=True
    )
    assert shell(script, namespaces=SIX, uid_map="root", gid_map="root") == theirs.stdout


# ---- Ids that /etc/subuid and /etc/subgid give ------------------------------------------------------------------------


@pytest.fixture
def as_nobody(tmp_path):
    """Runs a function as an unprivileged user who has the given ranges; returns the text that it does."""

    def run(function, ranges):
        def unprivileged():
            become_nobody()
            os.write(1, function().encode())

        (tmp_path / "ranges").write_text(ranges)
        process = Process(
            unprivileged,
            namespaces=CloneFlags.NEWNS,
            mounts=[Bind(tmp_path / "ranges", path) for path in ("/etc/subuid", "/etc/subgid")],
            keep_capabilities="all",
            no_new_privs=False,  # newuidmap is set-user-id
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return process.communicate(timeout=30)[0]

    return run


def mapped():
    script = "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map"
    try:
        return shell(script, namespaces=CloneFlags.NEWUSER, uid_map="auto", gid_map="auto")
    except UnsupportedError as error:
        return str(error)


has_newuidmap = pytest.mark.skipif(
    shutil.which("newuidmap") is None or "NoNewPrivs:\t1" in Path("/proc/self/status").read_text(),
    reason="no newuidmap, or no set-user-id programs, here",
)
has_ranges = pytest.mark.skipif(
    not (os.path.exists("/etc/subuid") and os.path.exists("/etc/subgid")), reason="no /etc/subuid and /etc/subgid"
)


@needs_root
@has_ranges
@has_newuidmap
def test_an_unprivileged_user_maps_all_ids_of_theirs(as_nobody):
    out = as_nobody(mapped, "somebody:100000:65536\nnobody:300000:1000\n")
    assert out.split() == ["0", "0", *["0", "65534", "1", "1", "300000", "1000"] * 2]


@needs_root
@has_ranges
def test_who_has_no_range_is_told_so(as_nobody):
    assert as_nobody(mapped, "somebody:100000:65536\n") == "/etc/subuid has no range for nobody"


@needs_root
@has_ranges
@pytest.mark.parametrize("line", ["nobody:many:5", "nobody::5", "nobody:1:\u0661", "nobody:-1:5"])
def test_a_range_that_is_none_is_told(as_nobody, line):
    assert "has a range for nobody that is not FIRST:COUNT" in as_nobody(mapped, f"{line}\n")


@needs_root
@has_ranges
@has_newuidmap
def test_lines_that_are_no_ranges_are_passed_over(as_nobody):
    out = as_nobody(mapped, "\nnobody\nnobody:1\nnobody:1:2:3\nnobody:300000:1000\n")
    assert out.split()[-3:] == ["1", "300000", "1000"]


@needs_root
@has_ranges
def test_who_lacks_newuidmap_is_told_so(as_nobody):
    def without_the_program():
        os.environ["PATH"] = "/nowhere"
        return mapped()

    assert "needs privilege or the program newuidmap" in as_nobody(without_the_program, "nobody:300000:1000\n")


@needs_root
@has_ranges
@has_newuidmap
def test_a_range_of_others_is_refused_with_the_reason(as_nobody):
    def take():
        with pytest.raises(PermissionError) as caught:
            Process(["true"], namespaces=CloneFlags.NEWUSER, uid_map=[(0, 100000, 10)], gid_map="auto")
        return str(caught.value)

    out = as_nobody(take, "nobody:300000:1000\n")
    assert out.startswith("newuidmap refused the map ((0, 100000, 10),): newuidmap: uid range")
