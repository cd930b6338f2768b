"""Signal handlers that ask for a process, wait for it and signal it while the thread that they interrupt does the same."""

from __future__ import annotations

import json

import pytest
from programs import printed

pytestmark = pytest.mark.any_python

SIGNALS = 10_000

# A signal is sent when the handler of the one before has returned, but for its last instruction: handlers interrupt what the main
# thread does, and not one another. The child ends when it has no more input. Few signals meet the long wait: one that comes just
# before it begins is handled 40 ms later.
PROGRAM = """if True:
    import json, mmap, os, signal, subprocess, sys
    import kthreads
    KIND, SIGNALS = sys.argv[1], int(sys.argv[2])
    POLLS, SHORT_WAITS, END = (SIGNALS * part // 100 for part in (50, 88, 90))
    handled = memoryview(mmap.mmap(-1, 8)).cast("Q")

    def send_to(main):
        for number in range(SIGNALS):
            os.kill(main, signal.SIGUSR1)
            while handled[0] == number and os.getppid() == main:
                os.sched_yield()

    def run():
        os.close(writer)
        while os.read(reader, 1):
            pass
        os._exit(42)

    def wait(timeout=None):
        try:
            return child.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def handle(*_):
        by_handler.append(child.poll())
        by_handler.append(wait(timeout=0))
        child.send_signal(signal.SIGCONT)
        if handled[0] == END:
            os.close(writer)
        handled[0] += 1

    def use():
        while handled[0] < SIGNALS:
            if handled[0] < POLLS:
                by_main.append(child.poll())
            elif handled[0] < SHORT_WAITS:
                by_main.append(wait(timeout=0.0005))
            else:
                by_main.append(child.wait())

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    by_handler, by_main, before = [], [], descriptors()
    reader, writer = os.pipe()
    words = ["sh", "-c", "cat; exit 42"]
    child = kthreads.Process(words, stdin=reader) if KIND == "Process" else kthreads.clone(run)
    os.close(reader)
    signal.signal(signal.SIGUSR1, handle)
    main, sender = os.getpid(), os.fork()
    if sender == 0:
        os.close(writer)
        send_to(main)
        os._exit(0)
    use()
    os.waitpid(sender, 0)
    left = descriptors() - before
    print(json.dumps({"handled": handled[0], "handler": by_handler, "main": by_main, "left": left}))
"""


@pytest.fixture(scope="module", params=["Process", "clone"])
def answers(request):
    """What was said of a process with exit status 42, by calls in the handler and in the main thread."""
    return json.loads(printed(PROGRAM, request.param, str(SIGNALS)))


def test_a_handler_interrupts_all_calls_ten_thousand_times_and_nothing_hangs(answers):
    assert answers["handled"] == SIGNALS


@pytest.mark.parametrize("who", ["handler", "main"])
def test_once_the_end_was_seen_every_call_knows_the_status(answers, who):
    given = answers[who]
    end = given.index(42)
    assert (set(given[:end]), set(given[end:])) == ({None}, {42})


def test_interrupted_calls_leave_no_descriptor(answers):
    assert answers["left"] == 0
