"""A client of debugpy: what an editor says to it, over the Debug Adapter Protocol."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kthreads

TIMEOUT = 60


@dataclass
class Stop:
    """A stop of the program.

    Attributes:
        reason: "breakpoint", "exception" or "step".
        thread: the name of the thread that stopped.
        threads: the names of all threads.
        frames: the functions and lines of the stopped thread, the innermost first.
    """

    reason: str
    thread: str
    threads: list[str]
    frames: list[tuple[str, int]]


class Client:
    """A connection to the adapter, which listens at `port`."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._file = self._socket.makefile("rb")
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def send(self, command: str, **arguments: Any) -> int:
        """Sends a request, and returns its number."""
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self._number

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Sends a request and returns the body of the response."""
        return self.response(self.send(command, **arguments))

    def response(self, number: int) -> dict[str, Any]:
        """The body of the response to a request."""
        while (message := self._read())["type"] != "response" or message["request_seq"] != number:
            if message["type"] == "event":
                self._events.append(message)
        assert message["success"], message
        body: dict[str, Any] = message.get("body") or {}
        return body

    def event(self, *names: str) -> dict[str, Any]:
        """The next event with one of the names."""
        while True:
            message = self._events.pop(0) if self._events else self._read()
            if message["type"] == "event" and message["event"] in names:
                return message

    def _read(self) -> dict[str, Any]:
        length = 0
        while line := self._file.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert length, "the adapter has closed the connection"
        message: dict[str, Any] = json.loads(self._file.read(length))
        return message

    def attach(self, program: Path, lines: list[int], filters: list[str]) -> None:
        """Attaches with breakpoints at lines of the program, and at exceptions; then the program goes on."""
        self.request("initialize", adapterID="test", clientID="test", linesStartAt1=True, pathFormat="path")
        library = {
            "path": str(Path(kthreads.__file__).parent),
            "include": False,
        }  # an editable install counts as the user's
        attach = self.send("attach", justMyCode=True, subProcess=False, rules=[library])
        self.event("initialized")
        self.request("setBreakpoints", source={"path": str(program)}, breakpoints=[{"line": line} for line in lines])
        self.request("setExceptionBreakpoints", filters=filters)
        self.request("configurationDone")
        self.response(attach)

    def stops(self) -> Iterator[Stop]:
        """The stops of the program, which goes on after each, until its end."""
        while (event := self.event("stopped", "terminated"))["event"] == "stopped":
            thread_id = event["body"]["threadId"]
            threads = {each["id"]: each["name"] for each in self.request("threads")["threads"]}
            frames = self.request("stackTrace", threadId=thread_id)["stackFrames"]
            yield Stop(
                event["body"]["reason"],
                threads[thread_id],
                sorted(threads.values()),
                [(frame["name"].partition(" ")[0], frame["line"]) for frame in frames],
            )
            self.request("continue", threadId=thread_id)
        self.request("disconnect")


def marked(program: Path) -> list[int]:
    """The numbers of the lines that are to have breakpoints."""
    lines = program.read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("# breakpoint")]


def stops_of(program: Path, *arguments: str, filters: tuple[str, ...] = ()) -> list[Stop]:
    """Runs a program that prints the port where debugpy listens, with breakpoints at the lines that are marked, and at the
    exceptions that filters of debugpy choose."""
    command = [sys.executable, str(program), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with closing(Client(int(process.stdout.readline()))) as client:
                client.attach(program, marked(program), list(filters))
                stops = list(client.stops())
            _, errors = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    return stops
