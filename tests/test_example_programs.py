"""The programs in docs/examples, as a reader would run them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def deep_tree(top: Path, depth: int) -> int:
    """A folder in a folder in a folder..., with a file in each; its path is longer than any call takes."""
    before = os.getcwd()
    try:
        for number in range(depth):
            os.mkdir(top if number == 0 else "a" * 100)
            os.chdir(top if number == 0 else "a" * 100)
            Path("file").write_bytes(b"x" * number)
    finally:
        os.chdir(before)
    return sum(range(depth))


def test_walkers_each_have_a_directory_of_their_own(tmp_path):
    expected = {str(tmp_path / name): deep_tree(tmp_path / name, depth) for name, depth in (("p", 60), ("q", 3))}
    output = run("walk.py", *expected)
    assert {line.split()[1]: int(line.split()[0].replace(",", "")) for line in output.splitlines()} == expected


def test_the_walkers_leave_the_directory_of_the_process_alone(tmp_path):
    spec = importlib.util.spec_from_file_location("walk", EXAMPLES / "walk.py")
    walk = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(walk)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"12345")
    before = os.getcwd()
    assert walk.sizes_below([str(tmp_path)]) == {str(tmp_path): 5}
    assert os.getcwd() == before


def test_a_thread_closes_its_descriptors_and_the_process_keeps_its_own():
    assert run("own_descriptors.py") == (
        "the thread read b'for the thread' from its descriptor 3\n"
        "the process reads b'for the process' from its descriptor, which it did not lose\n"
    )


def why_no_cable() -> str | None:
    """Why a pair of virtual Ethernet devices cannot be made here."""
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    if shutil.which("unshare") is None:
        return "unshare (util-linux) is not installed"
    words = ["unshare", "--net", "ip", "link", "add", "left", "type", "veth", "peer", "name", "right"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stderr.strip() or None


def test_two_threads_of_a_process_talk_from_network_to_network():
    if (why := why_no_cable()) is not None:
        pytest.skip(why)
    assert run("two_networks.py") == (
        "answer: ONE PROCESS, TWO NETWORKS\n"
        "the client's interfaces: left lo\n"
        "the server's interfaces: lo right\n"
        "cable seen by the process: False\n"
    )
