"""How many CPUs there are to use."""

from __future__ import annotations

import os

import pytest

import kthreads
from kthreads import limits, procfs


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    """Makes this process a member of /a/b in a tree of cgroups of the test's own."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "cpu,cpuacct" / "a").mkdir(parents=True)
    lines = ["0::/a/b"]
    mounts = [
        f"31 23 0:28 / {tmp_path} rw,relatime - cgroup2 cgroup2 rw",
        f"32 23 0:29 / {tmp_path / 'cpu,cpuacct'} rw,relatime - cgroup cgroup rw,cpu,cpuacct",
    ]
    files = {"/proc/self/cgroup": lines, "/proc/self/mountinfo": mounts}
    read = procfs.read
    monkeypatch.setattr(procfs, "read", lambda path: "\n".join(files[path]) if path in files else read(path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    return lambda path, text: (tmp_path / path).write_text(text), lines


@pytest.fixture(autouse=True)
def default():
    yield
    kthreads.limits.set_default_workers(None)
    limits.limit_default_workers(None)


@pytest.mark.parametrize(
    ("quotas", "cpus"),
    [
        pytest.param({"a/b": "max 100000"}, 8, id="the affinity counts without a quota"),
        pytest.param({"a/b": "150000 100000"}, 2, id="a quota is rounded up"),
        pytest.param({"a/b": "400000 100000", "a": "300000 100000"}, 3, id="the least quota above counts"),
        pytest.param({".": "1000 100000"}, 1, id="a small quota is one CPU"),
        pytest.param({"a/b": "1600000 100000"}, 8, id="a quota above the affinity does not count"),
    ],
)
def test_cpus_are_counted_by_affinity_and_quota(cgroup, quotas, cpus):
    write, _ = cgroup
    for folder, quota in quotas.items():
        write(f"{folder}/cpu.max", f"{quota}\n")
    assert kthreads.cpu_count() == cpus


def test_mounts_with_odd_paths_are_passed_over(cgroup, monkeypatch):
    write, _ = cgroup
    write("a/b/cpu.max", "150000 100000\n")
    odd = "40 23 0:40 / /mnt/odd\r\x0c\u2028path rw - tmpfs none rw\n"
    read = procfs.read
    monkeypatch.setattr(
        procfs, "read", lambda path: odd * 2 + read(path) if path == "/proc/self/mountinfo" else read(path)
    )
    assert kthreads.cpu_count() == 2


def test_quotas_of_cgroup_v1_count(cgroup):
    write, lines = cgroup
    lines[:] = ["4:cpu,cpuacct:/a", "3:memory:/a"]
    write("cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n")
    write("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")
    assert kthreads.cpu_count() == 3
    write("cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n")
    assert kthreads.cpu_count() == 8


def test_the_default_number_of_workers_can_be_set():
    kthreads.limits.set_default_workers(3)
    with kthreads.Pool() as pool:
        assert pool.workers == kthreads.limits.default_workers() == 3
    with pytest.raises(ValueError, match="from 1 to 4096"):
        kthreads.limits.set_default_workers(0)


def test_the_default_number_of_workers_can_be_limited_and_is_then_never_larger():
    kthreads.limits.set_default_workers(3)
    limits.limit_default_workers(2)
    assert kthreads.limits.default_workers() == 2
    kthreads.limits.set_default_workers(1)
    assert kthreads.limits.default_workers() == 1
    kthreads.limits.set_default_workers(4)
    limits.limit_default_workers(4)
    kthreads.limits.set_default_workers(5)
    assert kthreads.limits.default_workers() == 5
    with pytest.raises(ValueError, match="from 1 to 4096"):
        limits.limit_default_workers(0)
