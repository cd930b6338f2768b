"""Runs command lines by a tool of util-linux and by ours, and prints what both answer.

To be run by unshare(1) in a mount namespace of its own: it puts its own /etc/passwd and the like over those of the
machine. Ours run in forks of this interpreter, as starting one takes
longer than all else.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import kthreads.cli.main
import kthreads.cli.nsenter
import kthreads.cli.unshare

USERS = {"root": (0, 0), "user": (4321, 4322)}
FILES = {
    "passwd": "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\nsweeper:x:4321:4322::/:/bin/sh\n",
    "group": "root:x:0:\ndaemon:x:1:\nsweeper:x:4322:\n",
    "subuid": "root:100000:1000\nsweeper:200000:1000\n",
    "subgid": "root:300000:1000\nsweeper:400000:1000\n",
}
GRANTED = {"root": "100000", "user": "200000"}
SECONDS = 60
WORKERS = 2


def bind_files(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).write_text(text)
        if os.path.exists(f"/etc/{name}"):
            subprocess.run(["mount", "--bind", folder / name, f"/etc/{name}"], check=True)


def become(user: str) -> None:
    uid, gid = USERS[user]
    os.setgroups([])
    if uid:
        os.setgid(gid)
        os.setuid(uid)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which a change of ids clears


def child(user: str, words: list[str], ours: bool, output: int) -> None:
    """What the child does; it ends here."""
    os.setsid()
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
    become(user)
    if ours:
        sys.argv = ["kthreads", *words]
        status = 99
        try:
            status = kthreads.cli.main.main()
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else 98
        except BaseException:
            print(traceback.format_exc())
        sys.stdout.flush()
        os._exit(status or 0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execvp(words[0], words)


def run(user: str, words: list[str], ours: bool) -> tuple[int, str]:
    """The status and the output of a command."""
    output = os.memfd_create("output")
    pid = os.fork()
    if pid == 0:
        try:
            child(user, words, ours, output)
        finally:
            os._exit(97)
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(SECONDS * 1000):
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    text = os.pread(output, 1 << 20, 0).decode(errors="replace")
    os.close(pidfd)
    os.close(output)
    return status, text


class Places:
    """What stands for the words in capitals of a case."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen] = []
        namespaces = [os.readlink(f"/proc/self/ns/{kind}") for kind in os.listdir("/proc/self/ns")]
        self.look = [str(folder / "look"), *namespaces]
        self.targets = {name: self._start_target(name) for name in USERS}
        self.texts = {"FOLDER": str(folder), "DEAD": str(self._dead())}

    def _start_target(self, user: str) -> int:
        """A process in namespaces of its own that a user has made, with a root, a folder and variables of its own."""
        command = ["unshare", "-mnuUrpCiTf", "--mount-proc", "--wd=/usr", "sh", "-c", "echo ready; exec cat"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "COLOUR": "blue"},
            preexec_fn=lambda: become(user),
        )
        if process.stdout.readline() != b"ready\n":
            sys.exit("no user namespaces here")
        self._processes.append(process)
        return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())

    @staticmethod
    def _dead() -> int:
        with subprocess.Popen(["true"]) as process:
            pass
        return process.pid

    def words(self, user: str, words: list[str], file: str) -> list[str]:
        texts = {**self.texts, "TARGET": str(self.targets[user]), "FILE": file, "GRANTED": GRANTED[user]}
        placed: list[str] = []
        for word in words:
            if word == "LOOK":
                placed += self.look
                continue
            for name, text in texts.items():
                word = word.replace(name, text)
            placed.append(word)
        return placed

    def new_file(self) -> str:
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            os.chmod(file.name, 0o666)
            return file.name

    def end(self) -> None:
        for process in self._processes:
            process.communicate()


def answer(places: Places, case: dict) -> list:
    answers = []
    for ours in (False, True):
        file = places.new_file()
        words = places.words(case["user"], [case["tool"], *case["words"]], file)
        status, output = run(case["user"], words, ours)
        kept = os.stat(file).st_dev != os.stat(places.texts["FOLDER"]).st_dev
        answers.append([status, output.replace(file, "FILE"), kept])
    return answers


def work(places: Places, cases: list[dict], answers: Path) -> None:
    answers.write_text(json.dumps([answer(places, case) for case in cases]))


def main(folder: Path) -> None:
    """Reads cases.json of a folder and writes answers.json, with the answers of both tools to each."""
    bind_files(folder)
    os.umask(0o022)
    (folder / "script").write_text("echo without a first line: $0 $*\n")
    (folder / "script").chmod(0o755)
    places = Places(folder)
    os.chdir(folder)
    cases = json.loads((folder / "cases.json").read_text())
    parts = [folder / f"part{number}" for number in range(WORKERS)]
    workers = []
    for number, part in enumerate(parts):
        workers.append(os.fork())
        if workers[-1] == 0:
            try:
                work(places, cases[number::WORKERS], part)
                os._exit(0)
            finally:
                traceback.print_exc()
                os._exit(1)
    failed = [status for worker in workers if (status := os.waitpid(worker, 0)[1])]
    places.end()
    if failed:
        sys.exit("a worker has failed")
    answers: list = [None] * len(cases)
    for number, part in enumerate(parts):
        answers[number::WORKERS] = json.loads(part.read_text())
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
