"""Limits of a process (getrlimit(2)): `rlimits` of kthreads.Process."""

from __future__ import annotations

import json
import os
import resource
import sys

import pytest
from process_runs import SIX, isolated, needs_root, output_of, shell

from kthreads import CloneFlags, Process

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), pytest.mark.any_python]

NAMES = ["cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "sigpending", "msgqueue"]


def limits_of(**options) -> dict[str, list[int]]:
    """All limits of a program that is started with these options."""
    script = """if True:
        import json, resource
        names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
        print(json.dumps({name[7:].lower(): resource.getrlimit(getattr(resource, name)) for name in names}))
    """
    return json.loads(output_of([sys.executable, "-c", script], **options))


def test_each_limit_is_set_by_its_name_and_no_other_one_changes():
    before = limits_of()
    for name in NAMES:
        hard = before[name][1]
        lower = hard - 1 if hard > 0 else 1 << 40 if hard < 0 else 0
        expected = before | {name: [lower, lower]}
        found = limits_of(rlimits={name: lower})
        assert {each: found[each] for each in NAMES} == {each: expected[each] for each in NAMES}


def test_the_soft_limit_may_lie_below_the_hard_one():
    assert shell("ulimit -Sn; ulimit -Hn", rlimits={"nofile": (20, 30)}).split() == ["20", "30"]


def test_a_limit_has_the_names_of_ulimit_and_of_the_resource_module():
    for name in ("nofile", "NOFILE", "RLIMIT_NOFILE", resource.RLIMIT_NOFILE):
        assert shell("ulimit -n", rlimits={name: 33}) == "33\n"


def test_minus_one_is_no_limit():
    assert resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY, "this test needs a free limit"
    assert shell("ulimit -Sc; ulimit -Hc", rlimits={"core": (0, -1)}).split() == ["0", "unlimited"]


@isolated
@pytest.mark.parametrize("init", [False, True])
def test_a_container_starts_under_limits_that_its_start_itself_would_exceed(init):
    limits = {"fsize": 0, "nofile": 4, "memlock": 0, "msgqueue": 0, "sigpending": 0}
    options = {"namespaces": SIX, "init": init, "seccomp": "default", "rlimits": limits}
    assert shell("ulimit -f; ulimit -n", **options).split() == ["0", "4"]


def test_a_function_has_the_limits_too():
    process = Process(lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0], rlimits={"nofile": 44})
    assert process.wait() == 44


@needs_root
def test_another_user_gets_a_limit_that_only_root_could_raise():
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    options = {"user": 65534, "group": 65534, "extra_groups": []}
    assert shell("ulimit -Hc", rlimits={"core": (0, hard)}, **options).strip() in ("unlimited", str(hard // 512))
    assert resource.getrlimit(resource.RLIMIT_CORE) == (soft, hard)


@isolated
@pytest.mark.parametrize("namespaces", [0, CloneFlags.NEWUSER], ids=["host", "user namespace"])
def test_a_limit_is_raised_where_this_process_may_do_so_and_the_error_names_it_elsewhere(namespaces):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    except (OSError, ValueError):
        with pytest.raises(PermissionError, match="limit nofile"):
            Process(["true"], namespaces=namespaces, rlimits={"nofile": (soft, hard + 1)})
    else:
        assert shell("ulimit -Hn", namespaces=namespaces, rlimits={"nofile": (soft, hard + 1)}) == f"{hard + 1}\n"


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"fly": 1}, ValueError),
        ({99: 1}, ValueError),
        ({True: 1}, ValueError),
        ({"core": -2}, ValueError),
        ({"core": 1 << 64}, ValueError),
        ({"core": (2, 1)}, ValueError),
        ({"core": (-1, 1)}, ValueError),
        ({"core": "1"}, TypeError),
        ({"core": (1, 2, 3)}, TypeError),
        ({"core": (1.5, 2)}, TypeError),
        ([("core", 1)], TypeError),
        ("core=1", TypeError),
    ],
)
def test_what_is_no_limit_is_an_error_that_says_so(limits, error):
    with pytest.raises(error, match="limit"):
        Process(["true"], rlimits=limits)


@isolated
@pytest.mark.parametrize("options", [{}, {"namespaces": SIX, "init": True}], ids=["program", "container"])
def test_a_process_runs_on_the_cpus_that_it_is_given(options):
    cpu = max(os.sched_getaffinity(0))
    out = output_of(["grep", "Cpus_allowed_list", "/proc/self/status"], cpus=[cpu], **options)
    assert out.split() == ["Cpus_allowed_list:", str(cpu)]


def test_cpus_that_are_not_there_are_an_error_that_names_them():
    with pytest.raises(OSError, match=r"cannot run on the CPUs \[5000\]"):
        Process(["true"], cpus=[5000])


@pytest.mark.parametrize(("cpus", "error"), [([], ValueError), ([-1], ValueError), (["0"], TypeError), (0, TypeError)])
def test_what_are_no_cpus_is_an_error_that_says_so(cpus, error):
    with pytest.raises(error, match="cpus"):
        Process(["true"], cpus=cpus)
