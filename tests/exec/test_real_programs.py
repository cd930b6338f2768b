"""Programs that were not written for this: their status and output are the same with and without the engine's threads."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ways import PROGRAMS, environment

from kthreads.programs.lives import LivesFile

pytestmark = pytest.mark.any_python

OURS = ("clone", "clone3", "reuse")

NODE = """
const { Worker } = require("worker_threads");
const source = 'require("worker_threads").parentPort.postMessage([...Array(1000).keys()].reduce((a, b) => a + b))';
const answers = [1, 2, 3].map(() => new Promise(done => new Worker(source, { eval: true }).on("message", done)));
Promise.all(answers).then(sums => console.log(sums.join()));
"""

PYTHON = """
import queue, threading
from concurrent.futures import ThreadPoolExecutor
tasks, local, done = queue.Queue(), threading.local(), []
def work():
    local.seen = 0
    while (item := tasks.get()) is not None:
        local.seen += item
    done.append(local.seen)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for item in range(1000): tasks.put(item)
for _ in threads: tasks.put(None)
for thread in threads: thread.join()
with ThreadPoolExecutor(4) as pool:
    print(sum(done), sum(pool.map(abs, range(-100, 100))), threading.active_count())
"""


def run(way: str, words: list[str], **options) -> tuple[int, str, str, int]:
    """The status of a program, digests of its two outputs, and how many threads the engine made for it."""
    with LivesFile(1 << 14) as file:
        done = subprocess.run(
            words, env=environment(way, file.path), capture_output=True, timeout=60, check=False, **options
        )
        made = sum(not life.handed and not life.error for life in file.read().lives)
    return done.returncode, *(hashlib.sha256(text).hexdigest() for text in (done.stdout, done.stderr)), made


def same(words: list[str], least_threads: int, **options) -> None:
    """Checks that a program ends and writes the same in every way, and that the engine makes its threads."""
    *plain, made = run("libc", words, **options)
    assert (plain[0], made) == (0, 0)
    for way in OURS:
        *ours, made = run(way, words, **options)
        assert (way, ours) == (way, plain)
        assert made >= least_threads


def needs(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A file of 3 MiB that can be compressed."""
    path = tmp_path_factory.mktemp("data") / "data"
    words = b" ".join(str(number * number % 9973).encode() for number in range(700_000))
    path.write_bytes(words[: 3 << 20])
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["xz", "-1", "-T2", "--block-size=512KiB", "-c"],
        ["zstd", "-q", "-T2", "-c"],
        ["pigz", "-p", "2", "-n", "-c"],
    ],
    ids=lambda words: words[0],
)
def test_a_compressor_writes_the_same_bytes(words, data):
    needs(words[0])
    same([*words, str(data)], 2)


def test_what_xz_has_compressed_it_reads_again(data, tmp_path):
    needs("xz")
    packed = subprocess.check_output(["xz", "-1", "-T2", "--block-size=512KiB", "-c", data], env=environment("reuse"))
    for way in OURS:
        assert subprocess.check_output(["xz", "-d", "-T2"], input=packed, env=environment(way)) == data.read_bytes()


def test_a_loop_of_openmp_has_the_same_sum(build):
    try:
        program = build("openmp.c", "-fopenmp")
    except subprocess.CalledProcessError:
        pytest.skip("no OpenMP")
    same([program], 3)


def test_tasks_of_onetbb_have_the_same_sum(tmp_path):
    built = subprocess.run(
        ["c++", "-O1", "-std=c++17", PROGRAMS / "tasks.cpp", "-ltbb", "-o", tmp_path / "tasks"],
        capture_output=True,
        check=False,
    )
    if built.returncode != 0:
        pytest.skip("oneTBB is not installed")
    same([str(tmp_path / "tasks")], 1)


def test_threads_of_python_do_the_same():
    same([sys.executable, "-c", PYTHON], 9)


@pytest.mark.parametrize(
    ("way", "module"), [("clone", "test_thread"), ("clone3", "test_threading_local"), ("reuse", "test_queue")]
)
def test_python_s_own_tests_of_threads_pass(way, module):
    words = [sys.executable, "-m", "unittest", f"test.{module}"]
    done = subprocess.run(words, env=environment(way), capture_output=True, text=True, timeout=100, check=False)
    if "No module named" in done.stderr:
        pytest.skip("Python has no tests here")
    assert (done.returncode, done.stderr.splitlines()[-1][:2]) == (0, "OK"), done.stderr


def test_workers_of_node_do_the_same():
    same([needs("node"), "-e", NODE], 3)


@pytest.mark.parametrize("way", OURS)
def test_stressors_of_threads_succeed(way):
    words = [needs("stress-ng"), "--pthread", "1", "--pthread-max", "32", "-t", "1", "--oomable"]
    done = subprocess.run(words, env=environment(way), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("way", OURS)
def test_redis_serves_by_threads(way, tmp_path):
    server, port = needs("redis-server"), free_port()
    words = [server, "--port", str(port), "--io-threads", "2", "--io-threads-do-reads", "yes", "--save", ""]
    with subprocess.Popen(words, env=environment(way), cwd=tmp_path, stdout=subprocess.PIPE, text=True) as redis:
        for line in redis.stdout:
            if re.search("Ready to accept connections", line):
                break
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"SET a 1\r\n" + b"INCR a\r\n" * 1000)
            answer = b""
            while not answer.endswith(b":1001\r\n"):
                answer += client.recv(65536)
            client.sendall(b"SHUTDOWN NOSAVE\r\n")
        assert redis.wait(timeout=30) == 0
