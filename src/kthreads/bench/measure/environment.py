"""The environment of a run: what its figures depend on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from kthreads import limits, procfs
from kthreads._native import ffi, lib

SPIN_SETTINGS = ("OMP_", "GOMP_", "KMP_", "TBB_", "GLIBC_TUNABLES", "NUMBA_", "KTHREADS_")
LIBRARIES = {"libgomp": "libgomp.so", "libomp": "libomp.so", "pthreadpool": "libpthreadpool.so", "tbb": "libtbb.so"}


def cpu_model() -> str:
    """The name of the CPU in /proc/cpuinfo; where that has none (aarch64), the architecture."""
    lines = procfs.read("/proc/cpuinfo").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _governor() -> str:
    return procfs.read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not exposed"


def _virtual() -> bool:
    return "hypervisor" in procfs.read("/proc/cpuinfo").split()


def loaded_libraries() -> dict[str, str]:
    """The names of the files of the peers' libraries that this process has loaded."""
    paths = {line.split()[-1] for line in procfs.read("/proc/self/maps").splitlines() if ".so" in line}
    names = {peer: [Path(path).name for path in sorted(paths) if start in path] for peer, start in LIBRARIES.items()}
    return {peer: found[0] for peer, found in names.items() if found}


def package_version(name: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def now() -> dict[str, Any]:
    """The environment of this process."""
    quota = limits.cpu_quota()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "kthreads": package_version("kthreads") or "not installed",
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "virtual": _virtual(),
        "governor": _governor(),
        "cpus": os.cpu_count(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "cpu quota": "none" if quota is None else f"{quota:g} CPUs",
        "libc": os.confstr("CS_GNU_LIBC_VERSION") or "unknown",
        "compiler": ffi.string(lib.kt_bench_compiler()).decode(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: found for name in ("joblib", "numba", "numpy", "scipy") if (found := package_version(name))},
        "settings": {key: value for key, value in os.environ.items() if key.startswith(SPIN_SETTINGS)},
        "clock overhead ns": int(lib.kt_bench_clock_overhead()),
    }


def sentence(environment: dict[str, Any]) -> str:
    """The environment in one sentence."""
    cpus = len(environment["affinity"])
    return (
        f"{environment['date'][:10]}, {environment['kernel'].partition('-')[0]}, {environment['libc']}, "
        f"{environment['python']}, {cpus} CPU{'s' * (cpus != 1)} of {environment['cpu']}"
        f"{' (virtual)' if environment['virtual'] else ''}"
    )
