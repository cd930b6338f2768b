"""Runs one module of CPython's test package and writes a line of JSON as each test begins and ends.

The request is a JSON file that module_run.py writes, with the name of the module, the file for the lines and patterns of the
names of tests. This file runs in the environments of environments.py, so it imports nothing of this folder.
"""

import faulthandler
import fnmatch
import json
import os
import signal
import sys
import traceback
import unittest

# Resources as regrtest calls them. Only modules that stay on this machine get the network.
LOCAL_NETWORK = {"test.test_socketserver": ["network"]}


class Recorder(unittest.TestResult):
    def __init__(self, output):
        super().__init__()
        self._output, self._process = output, os.getpid()
        self._current = None

    def write(self, **line):
        if os.getpid() == self._process:  # a forked child of a test may come back to here
            self._output.write(json.dumps(line) + "\n")
            self._output.flush()

    def startTest(self, test):
        super().startTest(test)
        self._current, self._outcome, self._text = test.id(), "passed", ""
        self.write(begin=self._current)

    def stopTest(self, test):
        super().stopTest(test)
        self.write(end=self._current, outcome=self._outcome, text=self._text)
        self._current = None

    def set_outcome(self, test, outcome, text):
        if self._current is None:  # a failure in setUpClass or setUpModule
            self.write(end=test.id(), outcome=outcome, text=text)
        elif outcome == "failed" or self._outcome == "passed":
            self._outcome, self._text = outcome, self._text + text

    def addError(self, test, err):
        self.set_outcome(test, "failed", "".join(traceback.format_exception(*err)))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.set_outcome(test, "failed", f"{subtest}\n" + "".join(traceback.format_exception(*err)))

    def addSkip(self, test, reason):
        self.set_outcome(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self.set_outcome(test, "skipped", "an expected failure")

    def addUnexpectedSuccess(self, test):
        self.set_outcome(test, "failed", "an unexpected success")


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


def is_named(test, names):
    """Whether a test is meant by a pattern of its own name, or by the name of a failure of its class or module, such as
    "setUpClass (test.test_x.Class)"."""
    places = (name.partition(" (")[2].rstrip(")") for name in names if " (" in name)
    return any(fnmatch.fnmatchcase(test.id(), name) for name in names) or any(
        test.id().startswith(place + ".") for place in places
    )


def main():
    with open(sys.argv[1]) as file:
        request = json.load(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    faulthandler.enable()
    from test import support

    support.use_resources = LOCAL_NETWORK.get(request["module"], [])
    try:
        suite = unittest.TestLoader().loadTestsFromName(request["module"])
    except unittest.SkipTest as reason:
        print(reason)
        suite = unittest.TestSuite()
    only, skip, leave_out = request["only"], request["skip"], request["leave_out"]
    chosen = [test for test in tests_of(suite) if (not only or is_named(test, only)) and test.id() not in skip]
    with open(request["output"], "a") as output:
        recorder = Recorder(output)
        support.environment_altered = False
        for test in chosen:
            if is_named(test, leave_out):
                recorder.write(end=test.id(), outcome="expected", text="")
        unittest.TestSuite(test for test in chosen if not is_named(test, leave_out)).run(recorder)
        if support.environment_altered:
            recorder.write(end=request["module"] + ".(threads left over)", outcome="failed", text="see the output")
        recorder.write(finished=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
