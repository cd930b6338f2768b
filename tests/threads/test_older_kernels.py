"""Kernels and sandboxes that lack something: threads work all the same, or say what is missing."""

from __future__ import annotations

import os
import platform
import textwrap

import pytest
from programs import printed

PRELUDE = """
import errno, os, sys
import kthreads
from kthreads._native import lib
library = sys.argv[1]
refuse = kthreads.symbol(library, "refuse_system_call", "int(long, int, int)")
same = kthreads.symbol(library, "same_i32", "int(int)")
def run(number, **options):
    thread = kthreads.Thread(target=same, args=(number,), **options)
    thread.start()
    thread.join()
    return thread.result
"""

# Numbers of system calls (asm/unistd.h): the same on both architectures from 424 on.
CLONE3, PIDFD_OPEN, FUTEX_WAITV, MOUNT_SETATTR = 435, 434, 449, 442
MADVISE = {"x86_64": 28, "aarch64": 233}[platform.machine()]
GUARD_INSTALL = 102


@pytest.fixture
def script(native_library):
    return lambda body: printed(PRELUDE + textwrap.dedent(body), native_library).split()


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_where_clone3_is_refused_clone_is_called(script, error):
    output = script(f"""
        run(1)    # libc's own pthread_create, which the probe calls, falls back at ENOSYS alone
        assert refuse({CLONE3}, -1, errno.{error}) == 0
        print(run(7, backend="clone3"), bool(lib.kt_features() & lib.KT_FEATURE_CLONE3))
    """)
    assert output == ["7", "False"]


def test_without_light_guards_mprotect_makes_them(script):
    output = script(f"""
        assert refuse({MADVISE}, {GUARD_INSTALL}, errno.EINVAL) == 0
        print(run(7), bool(lib.kt_features() & lib.KT_FEATURE_GUARD))
        thread = kthreads.Thread(target=kthreads.symbol(library, "stack_low", "uint64_t(void)"))
        thread.start(); thread.join()
        low = thread.result
        below = [line for line in open("/proc/self/maps") if int(line.split("-")[1].split()[0], 16) == low]
        print(below[0].split()[1])
    """)
    assert output == ["7", "False", "---p"]


def test_without_futex_waitv_wait_looks_from_time_to_time(script):
    output = script(f"""
        assert refuse({FUTEX_WAITV}, -1, errno.ENOSYS) == 0
        usleep = kthreads.symbol(None, "usleep", "int(unsigned)")
        threads = [kthreads.Thread(target=usleep, args=(delay,)) for delay in (10_000_000, 20_000)]
        for thread in threads:
            thread.daemon = True
            thread.start()
        done, not_done = kthreads.wait(threads, return_when=kthreads.FIRST_COMPLETED)
        print(done == {{threads[1]}}, bool(lib.kt_features() & lib.KT_FEATURE_FUTEX_WAITV))
        sys.stdout.flush()
        os._exit(0)
    """)
    assert output == ["True", "False"]


def test_without_pidfds_of_threads_fileno_says_so(script):
    output = script(f"""
        assert refuse({PIDFD_OPEN}, -1, errno.EINVAL) == 0
        import numpy as np
        gate = np.zeros(1, "i4")
        thread = kthreads.Thread(target=kthreads.symbol(library, "wait_for", "int(const void *)"), args=(gate,))
        thread.start()
        try:
            thread.fileno()
        except kthreads.UnsupportedError as error:
            print("6.9" in str(error))
        gate[0] = 1
        thread.join()
    """)
    assert output == ["True"]


def test_without_pidfds_a_thread_is_awaited_all_the_same(script):
    output = script(f"""
        import asyncio
        assert refuse({PIDFD_OPEN}, -1, errno.EINVAL) == 0
        async def main():
            thread = kthreads.Thread(target=same, args=(7,))
            thread.start()
            return await thread
        print(asyncio.run(main()))
    """)
    assert output == ["7"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs privilege")
def test_without_mount_setattr_a_read_only_bind_says_what_it_needs(script, tmp_path):
    output = script(f"""
        assert refuse({MOUNT_SETATTR}, -1, errno.ENOSYS) == 0
        mounts = [kthreads.mounts.Bind({str(tmp_path)!r}, "/mnt", read_only=True)]
        try:
            kthreads.Process(["true"], namespaces=kthreads.CloneFlags.NEWNS, mounts=mounts)
        except kthreads.ProcessStartError as error:
            print("(mount_setattr, Linux 5.12): Function not implemented" in str(error))
    """)
    assert output == ["True"]


def test_doctor_names_the_fallbacks(script):
    output = script(f"""
        run(1)
        assert refuse({CLONE3}, -1, errno.EPERM) == 0
        from kthreads.cli.main import main
        main(["doctor"])
    """)
    assert "clone3" in output
