"""Runs the tests of a package by pytest and writes a line of JSON as each test begins and ends, as child.py does."""

import fnmatch
import json
import os
import shlex
import signal
import sys

import pytest


class Recorder:
    """A plugin of pytest."""

    def __init__(self, request, output):
        self._request, self._output, self._process = request, output, os.getpid()

    def write(self, **line):
        if os.getpid() == self._process:  # a forked child of a test may come back to here
            self._output.write(json.dumps(line) + "\n")
            self._output.flush()

    def pytest_collection_modifyitems(self, config, items):
        only, skip, leave_out = (self._request[key] for key in ("only", "skip", "leave_out"))
        for item in items:
            if any(fnmatch.fnmatchcase(item.nodeid, name) for name in leave_out):
                self.write(end=item.nodeid, outcome="expected", text="")
                skip.append(item.nodeid)
        items[:] = [
            item
            for item in items
            if item.nodeid not in skip
            and (not only or item.nodeid in only or any(fnmatch.fnmatchcase(item.nodeid, name) for name in only))
        ]

    def pytest_collectreport(self, report):
        if report.failed:
            self.write(end=f"{report.nodeid} (collection)", outcome="failed", text=report.longreprtext)

    def pytest_runtest_logstart(self, nodeid, location):
        self._outcome, self._text = "passed", ""
        self.write(begin=nodeid)

    def pytest_runtest_logreport(self, report):
        if report.outcome == "failed" or self._outcome == "passed":
            self._outcome, self._text = report.outcome, report.longreprtext if report.failed else ""

    def pytest_runtest_logfinish(self, nodeid, location):
        self.write(end=nodeid, outcome=self._outcome, text=self._text)


def main():
    with open(sys.argv[1]) as file:
        request = json.load(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    with open(request["output"], "a") as output:
        recorder = Recorder(request, output)
        options = ["-p", "no:cacheprovider", "-o", "addopts=", "-q", "--tb=short", "--continue-on-collection-errors"]
        status = pytest.main([*options, *shlex.split(request["module"])], plugins=[recorder])
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            sys.exit(int(status))
        recorder.write(finished=True)


if __name__ == "__main__":
    main()
