"""A limit that is felt once is not taken for a property of the machine."""

from __future__ import annotations

import os

import pytest
from programs import printed

PROGRAM = """
import os, resource
import kthreads, kthreads.cli.doctor
def run():
    thread = kthreads.Thread(target=kthreads.symbol(None, "getpid", "int(void)"), **options)
    thread.start()
    thread.join()
    return thread.result == os.getpid()
def limit(soft):
    resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
def self_check():
    return next(row.value for row in kthreads.cli.doctor.findings() if row.what == "self-check")
options = eval({options!r})
if os.geteuid() == 0:
    os.setuid(65534)    # root has no such limit
soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
"""


@pytest.fixture(params=["{}", "{'backend': 'clone3'}", "{'backend': 'pthread'}", "{'reuse': True}"])
def program(request) -> str:
    return PROGRAM.format(options=request.param)


def test_the_first_thread_starts_when_a_limit_on_threads_has_been_lifted(program):
    output = printed(
        program
        + """
limit(1)
try:
    run()
except kthreads.ThreadLimitError:
    print("a limit")
limit(soft)
print(run())
"""
    )
    assert output == "a limit\nTrue\n"


def test_the_doctor_says_that_the_self_check_could_not_be_made(program):
    output = printed(program + "limit(1)\nprint(self_check())\nlimit(soft)\nprint(self_check())\n")
    assert output == f"could not be made: {os.strerror(11)}; try again\npassed\n"
