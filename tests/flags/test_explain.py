"""Explanations: decoding, sentences, the nearest valid combination, cautions; and the check before each call."""

from __future__ import annotations

import errno
import itertools
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import printed

import kthreads
from kthreads import CloneFlags, FlagError, UnsupportedError, explain
from kthreads.cli import main
from kthreads.errors import NamespaceError
from kthreads.flags import Situation
from kthreads.flags.check import check, refused
from kthreads.flags.descriptions import FACTS
from kthreads.flags.text import CALLERS, parse, text

F = CloneFlags
ROOT = Situation(kernel=(6, 18), sys_admin=True, threads=1, pid_init=False, pid_pending=False, exhausted=F(0))
USER = Situation(
    kernel=(6, 18), sys_admin=False, checkpoint_restore=False, threads=1, pid_pending=False, exhausted=F(0)
)


def told(flags, api="clone3", situation=ROOT, **options):
    """What is wrong, as one text."""
    return "\n".join(problem.sentence for problem in explain(flags, api, situation=situation, **options).problems)


# ---- Decoding ------------------------------------------------------------------------------------------------------


def test_a_number_is_decoded_and_its_caller_named():
    explanation = explain(0x3D0F00, situation=ROOT)
    assert explanation.flags == CALLERS["pthread_create"].flags
    assert explanation.callers == ("pthread_create",)
    assert explanation.valid


def test_the_low_byte_of_clone_is_the_exit_signal():
    explanation = explain(0x1200011, "clone", situation=ROOT)
    assert (explanation.exit_signal, explanation.callers) == (17, ("fork",))


@pytest.mark.parametrize("words", ["CLONE_VM|CLONE_FILES", "vm files", "VM, Files", "0x500", "CLONE_VM + 0x400"])
def test_flags_are_read_as_people_write_them(words):
    assert parse(words)[0] == F.VM | F.FILES


@pytest.mark.parametrize("words", ["", "CLONE_FROB", "0x", "-1"])
def test_what_means_nothing_is_refused(words):
    with pytest.raises(ValueError, match="not a flag, signal, number or known caller"):
        parse(words)


@pytest.mark.parametrize("flags", [F(0), F.VM, F.NEWTIME | F.EMPTY_MNTNS, F(0x70), F(1 << 40 | 0x100)])
def test_text_and_number_say_the_same(flags):
    assert parse(text(flags))[0] == flags


def test_every_flag_has_its_facts_and_they_are_in_the_documentation():
    assert set(FACTS) == set(F)
    tool = Path(__file__).parents[2] / "tools" / "flags"
    assert runpy.run_path(str(tool))["page"]() == (tool.parents[1] / "docs" / "_flags.md").read_text(), f"run {tool}"


# ---- Effects --------------------------------------------------------------------------------------------------------


def test_what_is_shared_and_what_is_not_is_said():
    explanation = explain(F.VM | F.FILES, situation=ROOT)
    assert [effect.name for effect in explanation.effects] == ["CLONE_VM", "CLONE_FILES"]
    assert [effect.flag for effect in explanation.left_out] == [F.FS, F.SIGHAND, F.THREAD, F.SYSVSEM]
    assert "its own root directory" in explanation.left_out[0].text


def test_what_a_flag_needs_is_said():
    (effect,) = explain(F.INTO_CGROUP, situation=ROOT).effects
    assert (effect.since, effect.clone3_only) == ((5, 7), True)
    assert "cgroup.procs" in effect.privilege


@pytest.mark.parametrize(
    ("flags", "api", "caution"),
    [
        (F.VM, "clone3", "its own stack"),
        (F.VM, "clone3", "without CLONE_SETTLS"),
        (F.VM, "clone3", "two processes use one heap"),
        (F(0), "clone3", "this is a fork"),
        (F(0), "clone3", "__WALL"),
        (F.NEWUSER, "clone3", "uid_map"),
        (F.NEWPID, "unshare", "future children"),
        (F.VM | F.DETACHED, "clone", "no effect"),
        (F.VFORK, "clone3", "still copies the memory"),
        (F.NEWNET, "unshare", "loopback"),
    ],
)
def test_what_is_allowed_but_dangerous_is_said(flags, api, caution):
    assert any(caution in said for said in explain(flags, api, situation=ROOT).cautions)


# ---- Problems -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "api", "situation", "sentence"),
    [
        (F.THREAD, "clone3", ROOT, "CLONE_THREAD needs CLONE_SIGHAND, which needs CLONE_VM"),
        (F.NEWNET, "clone3", USER, "CLONE_NEWNET needs CAP_SYS_ADMIN or a new user namespace: add CLONE_NEWUSER"),
        (F.NEWNS | F.FS, "clone3", ROOT, "CLONE_NEWNS cannot be combined with CLONE_FS"),
        (F.NEWTIME, "clone3", Situation(kernel=(5, 4)), "CLONE_NEWTIME needs Linux 5.6; this is Linux 5.4"),
        (F.CLEAR_SIGHAND, "clone", ROOT, "clone would ignore CLONE_CLEAR_SIGHAND"),
        (F.NEWUSER, "unshare", Situation(threads=3), "one thread, and this one has 3"),
        (F.NEWNS, "setns", Situation(shares_fs=True, sys_admin=True), "unshare(CLONE_FS) first"),
        (F.NEWUTS, "clone", Situation(exhausted=F.NEWUTS, sys_admin=True), "max_*_namespaces"),
        (F.PARENT, "clone3", Situation(pid_init=True), "init of a PID namespace"),
        (F.VM, "setns", ROOT, "setns does not take CLONE_VM"),
    ],
)
def test_a_problem_is_a_sentence(flags, api, situation, sentence):
    assert sentence in told(flags, api, situation)


def test_several_problems_are_all_said_and_the_first_one_gives_the_errno():
    explanation = explain(F.THREAD | F.NEWIPC | F.SYSVSEM, situation=USER)
    assert [problem.errno for problem in explanation.problems] == [errno.EINVAL, errno.EPERM, errno.EINVAL]
    assert explanation.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("flags", "exit_signal", "situation", "nearest"),
    [
        (F.THREAD, 0, ROOT, F.THREAD | F.SIGHAND | F.VM),
        (F.SIGHAND, 17, ROOT, F.SIGHAND | F.VM),
        (F.NEWNS | F.FS, 17, ROOT, F.NEWNS),
        (F.NEWNET, 17, USER, F.NEWNET | F.NEWUSER),
        (F.NEWNET | F.FS, 17, USER, F.NEWNET | F.NEWUSER),
        (F.THREAD | F.SIGHAND | F.VM | F.NEWPID, 0, ROOT, F.THREAD | F.SIGHAND | F.VM),
        (F(1 << 50) | F.VM, 17, ROOT, F.VM),
    ],
)
def test_the_nearest_combination_keeps_what_was_asked_for(flags, exit_signal, situation, nearest):
    assert explain(flags, exit_signal=exit_signal, situation=situation).nearest == nearest


def test_a_thread_s_exit_signal_is_what_goes():
    explanation = explain(F.THREAD | F.SIGHAND | F.VM, exit_signal=17, situation=ROOT)
    assert (explanation.nearest, explanation.nearest_exit_signal) == (explanation.flags, 0)


@pytest.mark.parametrize("api", ["clone", "clone3", "unshare", "setns"])
def test_the_nearest_combination_is_valid(api):
    for first, second in itertools.combinations(F, 2):
        nearest = explain(first | second, api, situation=USER)
        if nearest.nearest is not None:
            again = explain(nearest.nearest, api, exit_signal=nearest.nearest_exit_signal, situation=USER)
            assert again.valid, text(first | second)


# ---- The check before a call, and what the kernel says after it -------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "situation", "kind", "code"),
    [
        (F.THREAD, ROOT, FlagError, errno.EINVAL),
        (F.NEWNET, USER, NamespaceError, errno.EPERM),
        (F.NEWUSER, Situation(exhausted=F.NEWUSER), NamespaceError, errno.ENOSPC),
        (F.AUTOREAP, Situation(kernel=(6, 18)), UnsupportedError, None),
    ],
)
def test_a_call_that_the_kernel_would_refuse_is_refused_before(flags, situation, kind, code):
    with pytest.raises(kind) as raised:
        check(flags, situation=situation)
    assert getattr(raised.value, "errno", None) == code


def test_a_call_that_the_kernel_would_take_is_passed_on():
    assert check(F.VM | F.FILES, situation=ROOT) == F.VM | F.FILES


def test_what_the_kernel_refused_is_said_by_the_rule_that_it_broke():
    assert "add CLONE_NEWUSER" in str(refused(errno.EPERM, F.NEWNET, situation=USER))


def test_what_no_rule_explains_is_said_with_what_may_be_the_cause():
    error = refused(errno.EPERM, F.NEWUSER, situation=ROOT)
    assert isinstance(error, NamespaceError)
    assert "security module" in str(error)


def test_each_way_to_make_a_child_asks_the_rules_first():
    leaf = kthreads.symbol(None, "getpid", "int(void)")
    with pytest.raises(FlagError, match="CLONE_NEWNS cannot be combined with CLONE_FS"):
        kthreads.Thread(target=leaf, namespaces=F.NEWNS)
    with pytest.raises(FlagError, match="CLONE_NEWNS cannot be combined with CLONE_FS"):
        kthreads.clone(leaf, F.NEWNS | F.FS)


AS_NOBODY = """
import os, kthreads
from kthreads import CloneFlags as F, Process, clone
leaf = kthreads.symbol(None, "getpid", "int(void)")
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    MAKE
except kthreads.errors.NamespaceError as error:
    print("add CLONE_NEWUSER" in str(error))
"""


@pytest.mark.parametrize("make", ["clone(leaf, F.NEWNET)", "Process(['true'], namespaces=F.NEWNET)"])
def test_a_rule_explains_what_the_kernel_refuses(make):
    assert printed(AS_NOBODY.replace("MAKE", make)) == "True\n"


def test_a_situation_has_no_other_parts():
    with pytest.raises(TypeError, match="no sysadmin"):
        Situation(sysadmin=True)


# ---- Who passes what --------------------------------------------------------------------------------------------------

PROGRAMS = {
    "pthread_create": "import _thread; lock = _thread.allocate_lock(); lock.acquire()\n"
    "_thread.start_new_thread(lock.release, ()); lock.acquire()",
    "fork": "import os\npid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)",
    "posix_spawn": "import os; os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "kthreads.Thread": "import kthreads; t = kthreads.Thread(target=int); t.start(); t.join()",
}


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace to look with")
@pytest.mark.parametrize("name", PROGRAMS)
def test_callers_pass_what_is_said_of_them(name):
    done = subprocess.run(
        ["strace", "-f", "-X", "raw", "-e", "trace=clone,clone3", sys.executable, "-c", PROGRAMS[name]],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "PTRACE" in done.stderr:
        pytest.skip("strace may not trace here")
    passed = set()
    for flags, low, apart in re.findall(r"flags=(0x[0-9a-f]+)(?:\|(\d+))?(?:.*?exit_signal=(\d+))?", done.stderr):
        passed.add((int(flags, 16), int(low or apart or 0)))
    expected = CALLERS[name]
    alternatives = {expected.flags, expected.flags | F.CLEAR_SIGHAND} if name == "posix_spawn" else {expected.flags}
    assert passed & {(int(flags), expected.exit_signal) for flags in alternatives}, done.stderr


# ---- The command --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["0x3d0f00"], 0, "passed by pthread_create"),
        (["CLONE_VM|CLONE_FILES"], 0, "clone3(CLONE_VM|CLONE_FILES) = 0x500"),
        (["pthread_create"], 0, "= 0x3d0f00"),
        (["fork"], 0, "clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD) = 0x1200011"),
        (["0x1200011"], 0, "passed by fork"),
        (["thread"], 1, "nearest                CLONE_VM|CLONE_SIGHAND|CLONE_THREAD"),
        (["--api", "unshare", "vfork"], 1, "unshare does not take"),
        (["--exit-signal", "usr1", "vm", "sighand", "thread"], 1, "omit SIGUSR1"),
    ],
)
def test_the_command_explains(words, status, said, capsys):
    assert main.main(["explain", *words]) == status
    assert said in capsys.readouterr().out


def test_the_command_names_the_word_that_it_does_not_know(capsys):
    assert main.main(["explain", "frobnicate"]) == 2
    assert "'frobnicate' is not a flag" in capsys.readouterr().err


def test_an_exit_signal_that_is_none_is_a_usage_error():
    with pytest.raises(SystemExit) as exit_:
        main.main(["explain", "--exit-signal", "frob", "vm"])
    assert exit_.value.code == 2


def test_the_public_names_are_those_of_the_modules():
    assert kthreads.explain is explain
