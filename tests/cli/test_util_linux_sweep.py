"""`kthreads unshare` and `nsenter` beside the tools of util-linux: hundreds of command lines, as root and as an ordinary user.

Status and output are the same, messages of errors apart; all cases were compared with util-linux 2.38 and 2.41. What 2.38
lacks is in test_unshare_options.py and test_nsenter_options.py, and so is where we differ: numbers of 32 bits and more,
which it cuts, are refused.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "sweep"
TOOLS = ("unshare", "nsenter", "mount", "newuidmap", "cc")

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need CAP_SYS_ADMIN"),
    *(pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed") for tool in TOOLS),
]

USERS = ("root", "user")
LETTERS = "muinpUCT"
MAPS = (
    "-U",
    "-r",
    "-c",
    "--map-user=7",
    "--map-group=8",
    "--map-user=7 --map-group=8",
    "--map-auto",
    "--map-auto -r",
    "--map-auto -c",
    "--map-auto --map-user=5 --map-group=999",
    "--map-users=auto",
    "--map-groups=auto --map-user=3",
    "--map-user=daemon --map-group=daemon",
    "-r -c",
    "-c -r",
    "-r --map-user=9",
    "-r --setgroups=deny",
    "-r --setgroups=allow",
    "-U --setgroups=deny",
    "-U --setgroups=allow",
    "--map-users=GRANTED,0,10",
    "--map-users=GRANTED,5,10 -r",
    "--map-users=GRANTED,0,10 --map-user=3",
    "--map-users=1,2",
    "--map-users=1,2,3,4",
    "--map-users=x,y,z",
    "--map-user=",
    "--map-user=nobody-of-that-name",
    "--map-group=nobody-of-that-name",
    "--map-user",
    "-r -S 0 -G 0",
    "-r -S 0",
    "-r -G 0",
    "-r -S 5",
    "-c -S 4321",
    "--map-auto -r -S 5 -G 6",
)


def unshare_cases():
    """Lists of options; a program that looks around comes after each."""
    yield []
    yield from ([f"-{letter}"] for letter in LETTERS)
    for letters in itertools.combinations(LETTERS, 2):
        yield ["-f", "-r", "-" + "".join(letters)]
    yield from (f"--{name}".split() for name in ("mount", "uts", "ipc", "net", "pid", "user", "cgroup", "time"))
    for options in MAPS:
        yield options.split()
        yield ["--mount-proc", "--fork", "--pid", "-u", *options.split()]
    for text in (
        "-mpf --mount-proc",
        "-rmpf --mount-proc",
        "-rmpf --mount-proc=/proc",
        "-rmpf --mount-proc=/no/such",
        "-rmpf --mount-proc -R /",
        "-rm -R /",
        "-rm -R / -w /usr",
        "-R /no/such",
        "-R /etc/passwd",
        "-R",
        "-w /usr",
        "-w FOLDER",
        "-w /no/such",
        "-w /etc/passwd",
        "-r -w /usr",
        "-w",
        "-m --propagation private",
        "-m --propagation slave",
        "-m --propagation shared",
        "-m --propagation unchanged",
        "-rm --propagation slave",
        "-rm --propagation=shared",
        "-rm --propagation unchanged",
        "--propagation slave",
        "--propagation sideways",
        "-rmp -f --mount-proc --propagation slave",
        "-rmp -f --mount-proc --propagation unchanged",
        "--kill-child",
        "--kill-child=TERM",
        "--kill-child=sigint",
        "--kill-child=RTMIN+3",
        "--kill-child=RT3",
        "--kill-child=RTMIN",
        "--kill-child=0",
        "--kill-child=9",
        "--kill-child=",
        "--kill-child=NONSENSE",
        "-rpf --kill-child",
        "-S 0",
        "-S 7",
        "-G 8",
        "-S 7 -G 8",
        "-S x",
        "-S root",
        "-G root",
        "-S -1",
        "-S",
        "-S +5",
        "-S 0x5",
        "-S 5x",
        "-T --boottime 100000",
        "-T --monotonic 100000",
        "-fT --boottime 100000 --monotonic 5",
        "-rT --boottime=1000",
        "-rfT --monotonic=1000",
        "--boottime 5",
        "--monotonic=5",
        "-T --boottime x",
        "-T --boottime 9999999999999",
        "-T --monotonic",
        "--keep-caps",
        "-U --keep-caps",
        "-c --keep-caps",
        "-r --keep-caps",
        "-cf --keep-caps",
        "--map-user=7 --keep-caps",
        "--map-auto -r --keep-caps",
        "-r --keep-caps -S 0",
        "--setgroups=deny",
        "--setgroups=allow",
        "--setgroups=perhaps",
        "--setgroups",
        "--uts=FILE",
        "--ipc=FILE",
        "--net=FILE",
        "--cgroup=FILE",
        "--pid=FILE --fork",
        "--pid=FILE",
        "--time=FILE",
        "--uts=FILE --fork",
        "--uts=/no/such",
        "--uts=",
        "--uts=FOLDER",
        "--no-such-option",
        "-Z",
        "-m -Z",
        "--map-u=5",
        "--map-root",
        "--map",
        "--fork=yes",
        "--mo",
        "--propagation",
        "-rm --",
        "-rfm --",
        "-fu -f",
        "-uu",
    ):
        yield text.split()


ENTERED = ("-m", "-n", "-p", "-U", "-T", "-a", "-UmuinpC", "-Up", "-uU", "-iC")
BESIDES = (
    "",
    "-S 7 -G 8",
    "-S 0 -G 0",
    "-S 0",
    "-G 0",
    "--preserve-credentials",
    "--preserve-credentials -G 0",
    "-r",
    "-w",
    "-F",
    "-w/usr",
    "--wdns=/usr",
    "-r/ --wdns=usr",
)


def nsenter_cases():
    for entered, besides in itertools.product(ENTERED, BESIDES):
        yield ["-t", "TARGET", entered, *besides.split()]
    for text in (
        "-u",
        "-a",
        "-r",
        "-w",
        "-t DEAD -u",
        "-t DEAD -a",
        "-t x -u",
        "-t -5 -u",
        "-t 0 -u",
        "-t 0 -a",
        "-t 0 -r",
        "-t 4194305 -m",
        "-t",
        "-t TARGET -t TARGET -U",
        "--target=TARGET --user --mount",
        "--target TARGET --all",
        "-t TARGET -S x -U",
        "-t TARGET -S root -U",
        "-t TARGET -S -1 -U",
        "-t TARGET -G -U",
        "-t TARGET -U -w/no/such",
        "-t TARGET -U -r/no/such",
        "-t TARGET -U --wdns=/no/such",
        "-t TARGET -U -w/usr --wdns=/usr",
        "-t TARGET -Uu --root=",
        "-t TARGET -Uu --wd=",
        "-t TARGET -Uu --wdns=",
        "--uts=/proc/TARGET/ns/uts",
        "--user=/proc/TARGET/ns/user",
        "--user=/proc/TARGET/ns/user --uts=/proc/TARGET/ns/uts",
        "-u/proc/TARGET/ns/uts -U/proc/TARGET/ns/user",
        "--user=/proc/TARGET/ns/user -t TARGET -m",
        "--user=/proc/TARGET/ns/user -t TARGET -a",
        "--uts=/proc/TARGET/ns/net",
        "--uts=/etc/passwd",
        "--net=/etc/passwd",
        "--mount=FOLDER",
        "--pid=/etc/passwd",
        "--time=/etc/passwd",
        "--cgroup=/etc/passwd",
        "--user=/etc/passwd",
        "--ipc=/etc/passwd",
        "--uts=/no/such",
        "--uts=",
        "-u/no/such",
        "--user=/proc/self/ns/user",
        "--uts=/proc/self/ns/uts",
        "--net=/proc/self/ns/net -t TARGET -U",
        "--no-such-option",
        "-t TARGET -X",
        "-t TARGET --fork",
        "-t TARGET -a -F",
        "-t TARGET -a -r -w -F",
        "-t TARGET -Um -r --wdns=/proc",
    ):
        yield text.split()


PROGRAMS = (
    ["LOOK", "=5"],
    ["/no/such"],
    ["no-such-program"],
    ["/etc/passwd"],
    ["/etc/passwd/x"],
    ["FOLDER/script", "with", "words"],
    ["FOLDER"],
    [""],
    ["sh", "-c", "kill -TERM $$"],
    ["sh", "-c", "exit 77"],
    ["--", "LOOK"],
    [],
)


# Whole lines, of which the output shows what a namespace isolates.
LINES = (
    ("unshare", "-ru", "sh", "-c", "hostname there; hostname"),
    ("unshare", "-rn", "cat", "/proc/net/dev"),
    ("unshare", "-ri", "sh", "-c", "ipcs -q | wc -l"),
    ("unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt && ls /mnt | wc -l"),
    ("unshare", "-rp", "sh", "-c", "sh -c 'echo $$'"),
    ("unshare", "-rfp", "--mount-proc", "sh", "-c", "ls /proc | grep '^[0-9]' | head -1; echo $$"),
    ("unshare", "-rC", "cat", "/proc/self/cgroup"),
    ("unshare", "-rTf", "--boottime", "100000000", "cut", "-c1-3", "/proc/uptime"),
    ("unshare", "-r", "-R", "/usr", "-w", "/bin", "/bin/pwd"),
    ("nsenter", "-t", "TARGET", "-Uu", "sh", "-c", "hostname there; hostname"),
    ("nsenter", "-t", "TARGET", "-Un", "cat", "/proc/net/dev"),
    ("nsenter", "-t", "TARGET", "-Um", "sh", "-c", "ls /proc | grep -c '^[0-9]'"),
    ("nsenter", "-t", "TARGET", "-Ump", "sh", "-c", "ls /proc | grep '^[0-9]' | head -1; exit 5"),
    ("nsenter", "-t", "TARGET", "-U", "--root=/usr", "/bin/ls", "/"),
    ("nsenter", "-t", "TARGET", "-Um", "-r", "ls", "-d", "/proc/self"),
)


def cases():
    found = [{"tool": tool, "user": user, "words": words} for tool, *words in LINES for user in USERS]
    for tool, lists, how in (
        ("unshare", unshare_cases(), (["-r"], ["-rf"], ["-rm", "-R/"])),
        ("nsenter", nsenter_cases(), (["-t", "TARGET", "-U"], ["-t", "TARGET", "-Upm"])),
    ):
        lines = [[*options, "LOOK"] for options in lists]
        lines += [[*options, *program] for options in how for program in PROGRAMS]
        found += [{"tool": tool, "user": user, "words": words} for words in lines for user in USERS]
    return found


CASES = cases()


@pytest.fixture(scope="module")
def answers():
    """The answers of both tools to each case: status, output, and whether a namespace was kept."""
    folder = Path(tempfile.mkdtemp(prefix="sweep"))
    folder.chmod(0o755)
    try:
        subprocess.run(["cc", "-O1", "-o", folder / "look", HERE / "look.c"], check=True)
        (folder / "cases.json").write_text(json.dumps(CASES))
        environment = {"PATH": os.environ["PATH"], "SHELL": "/bin/true"}
        command = ["unshare", "-m", sys.executable, HERE / "both_tools.py", folder]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            pytest.fail(done.stderr)
        return json.loads((folder / "answers.json").read_text())
    finally:
        shutil.rmtree(folder)


def name_of(case):
    return " ".join([case["user"], case["tool"], *case["words"]])


@pytest.mark.parametrize("number", range(len(CASES)), ids=[name_of(case) for case in CASES])
def test_ours_answers_as_util_linux_does(number, answers):
    theirs, ours = answers[number]
    assert ours == theirs


def test_there_are_hundreds():
    assert len(CASES) > 600
