"""Native functions and kernel threads on the workers of a dask.distributed cluster."""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path

import pytest

import kthreads

distributed = pytest.importorskip(
    "distributed", reason="dask.distributed is not installed: pip install 'kthreads[dask]'"
)

import dask  # noqa: E402

from kthreads.integrations.dask import KThreadsPlugin, worker_pool  # noqa: E402

CRC32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned)")


@pytest.fixture(scope="module")
def client():
    with (
        dask.config.set({"distributed.worker.use-file-locking": False}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.register_plugin(KThreadsPlugin(workers=2))
        yield client


def name_of_thread():
    import threading

    return Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text()


def sum_in_parallel(count):
    """A loop of a task, on its worker's pool."""
    done = set()
    worker_pool().parallel_for(lambda begin, end: done.update(range(begin, end)), count, grain=8)
    return len(done)


def test_native_functions_are_tasks_of_worker_processes(client):
    parts = [bytes([n]) * 100 for n in range(20)]
    futures = [client.submit(CRC32, 0, part, len(part)) for part in parts]
    assert client.gather(futures) == [zlib.crc32(part) for part in parts]
    pids = {
        client.submit(kthreads.symbol(None, "getpid", "int(void)"), pure=False, workers=[w]).result(timeout=20)
        for w in workers_of(client)
    }
    assert len(pids) == 2
    assert os.getpid() not in pids


def workers_of(client):
    return list(client.scheduler_info()["workers"])


def test_a_task_has_the_name_of_its_function(client):
    assert client.submit(CRC32, 0, b"abc", 3).key.startswith("crc32-")


def test_tasks_that_ask_for_it_run_on_kernel_threads_and_others_do_not(client):
    with dask.annotate(executor="kthreads"):
        assert client.submit(name_of_thread, pure=False).result(timeout=20).startswith("dask")
        assert client.submit(CRC32, 0, b"xyz", 3).result(timeout=20) == zlib.crc32(b"xyz")
    assert not client.submit(name_of_thread, pure=False).result(timeout=20).startswith("dask-")


def test_a_task_runs_a_loop_on_its_workers_pool(client):
    assert client.submit(sum_in_parallel, 1000).result(timeout=20) == 1000
    with dask.annotate(executor="kthreads"):
        assert client.submit(sum_in_parallel, 1001).result(timeout=20) == 1001


def test_an_exception_of_kthreads_comes_home_whole(client):
    def fail():
        raise kthreads.NativeError("body", 5, 2, 3, errno=2)

    error = client.submit(fail).exception(timeout=20)
    assert isinstance(error, kthreads.NativeError)
    assert (error.code, error.begin, error.end, error.errno) == (5, 2, 3, 2)


def test_another_build_of_the_library_on_the_worker_is_a_mismatch(client, tmp_path):
    def build(number):
        subprocess.run(
            [
                "cc",
                "-shared",
                "-fPIC",
                f"-Wl,--build-id=0x{number * 20}",
                "-x",
                "c",
                "-",
                "-o",
                tmp_path / "libanswer.so",
            ],
            input=b"int answer(void) { return 42; }",
            check=True,
        )

    build("11")
    function = kthreads.symbol(tmp_path / "libanswer.so", "answer", "int(void)")
    (tmp_path / "libanswer.so").unlink()
    build("22")
    error = client.submit(function).exception(timeout=20)
    assert isinstance(error, kthreads.errors.LibraryMismatchError)
    assert (error.expected, error.found) == ("build-id " + "11" * 20, "build-id " + "22" * 20)


def test_a_function_that_is_an_address_is_refused_at_home(client):
    with pytest.raises(TypeError, match="Could not serialize"):
        client.submit(kthreads.native(CRC32.address, CRC32.signature), 0, b"abc", 3)


def test_the_plugin_can_take_all_tasks_and_give_them_back(client):
    client.register_plugin(KThreadsPlugin("default"), name="all")
    try:
        assert client.submit(name_of_thread, pure=False).result(timeout=20).startswith("dask-")
    finally:
        client.unregister_worker_plugin("all")
    assert not client.submit(name_of_thread, pure=False).result(timeout=20).startswith("dask-")


def test_the_plugin_may_have_another_name(client):
    client.unregister_worker_plugin("kthreads")
    client.register_plugin(KThreadsPlugin("mine", workers=2), name="other")
    try:
        assert client.submit(sum_in_parallel, 1002).result(timeout=20) == 1002
        with dask.annotate(executor="mine"):
            assert client.submit(name_of_thread, pure=False).result(timeout=20).startswith("dask-")
    finally:
        client.unregister_worker_plugin("other")
        client.register_plugin(KThreadsPlugin(workers=2))


def test_a_task_whose_worker_has_no_pool_is_told_what_to_do(client):
    client.unregister_worker_plugin("kthreads")
    try:
        with pytest.raises(kthreads.ThreadStateError, match="register_plugin"):
            client.submit(sum_in_parallel, 10).result(timeout=20)
    finally:
        client.register_plugin(KThreadsPlugin(workers=2))


def test_outside_of_a_task_there_is_no_workers_pool():
    with pytest.raises(ValueError, match="worker"):
        worker_pool()
