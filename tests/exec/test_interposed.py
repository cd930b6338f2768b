"""Each function that libkthreads-preload.so takes the place of does what libc's does, on each backend."""

from __future__ import annotations

import re
import subprocess

import pytest
from ways import PROGRAMS, WAYS, environment

pytestmark = pytest.mark.any_python

SOURCES = ("joins", "attributes", "surroundings", "at_first")
CASES = [
    (source, name)
    for source in SOURCES
    for name in re.findall(r"^    CASE\((\w+)\)", (PROGRAMS / f"{source}.c").read_text(), re.MULTILINE)
]

# glibc notes a joiner by a compare-and-swap whose arguments are in the wrong order (nptl/pthread_join_common.c), and so
# waits for ever where pthread_join(3) says EDEADLK and EINVAL; and it waits for ever for a time that is none.
LIBC_WAITS_FOR_EVER = {
    "threads_that_join_each_other_are_told",
    "a_thread_that_the_main_thread_joins_cannot_join_it",
    "the_main_thread_cannot_join_a_thread_that_joins_it",
    "a_second_joiner_is_refused",
    "a_time_or_clock_that_is_none_is_refused",
}


def test_each_program_has_cases_and_all_run():
    assert {source for source, _ in CASES} == set(SOURCES)
    for source in SOURCES:
        text = (PROGRAMS / f"{source}.c").read_text()
        listed = {name for where, name in CASES if where == source}
        assert set(re.findall(r"^static void (\w*_\w*_\w*_\w+)\(void\)", text, re.MULTILINE)) == listed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("source", "case"), CASES, ids=[case for _, case in CASES])
def test_a_thread_is_as_libcs(source, case, way, build):
    if case in LIBC_WAITS_FOR_EVER and way in ("libc", "pthread"):
        pytest.skip("glibc waits for ever")
    variables = environment(way) | {"LIBRARY": build("library.c", "-shared", "-fPIC")}
    done = subprocess.run(
        [build(f"{source}.c"), case], env=variables, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
