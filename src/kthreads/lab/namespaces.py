"""Experiments with namespaces: names, mounts, processes, networks, ids, clocks; and with the cgroup of a child.

Each creator first enters its own namespaces, so that a child created without the flag changes those and not the
host's. A creator without privileges first enters a user namespace.
"""

from __future__ import annotations

import os
import signal
import struct
import tempfile
from pathlib import Path

from kthreads import cgroups
from kthreads.flags.caller import Situation
from kthreads.flags.check import refused
from kthreads.flags.clone_flags import CloneFlags
from kthreads.flags.descriptions import FACTS, version_text
from kthreads.lab.experiment import Missing, Variant, accepted, experiment, of_variants, play
from kthreads.lab.stage import Place, Script, Stage, Step
from kthreads.own_cgroup import OwnCgroup
from kthreads.processes.mount_flags import MS_PRIVATE, MS_REC

__all__ = ["into_cgroup", "newcgroup", "newipc", "newnet", "newns", "newpid", "newtime", "newuser", "newuts"]

F = CloneFlags

_AT_FDCWD, _O_WRONLY = -100, 1
_NOBODY = 65534
_WHILE = 5_000_000_000
_IPC_CREAT = 0o1000
_KEY = 0x6B74
_AF_INET, _SOCK_DGRAM, _SIOCGIFFLAGS, _IFF_UP = 2, 2, 0x8913, 1
_CLOCK_MONOTONIC = 1
_AHEAD = 1_000_000  # seconds


def _write(script: Script, path: str, content: str) -> None:
    descriptor = script("openat", _AT_FDCWD, path, _O_WRONLY)
    script("write", descriptor, content, len(content))
    script("close", descriptor)


def _read(stage: Stage, script: Script, path: str) -> Place:
    found = stage.place(4096)
    descriptor = script("openat", _AT_FDCWD, path, 0)
    script("read", descriptor, found, 4095)
    script("close", descriptor)
    return found


class _World:
    """The creator's own namespaces, which its first steps create."""

    def __init__(self, creator: Script, flags: CloneFlags) -> None:
        self._creator, self._steps = creator, []
        if not Situation().sys_admin:
            self._steps.append((creator("unshare", F.NEWUSER), F.NEWUSER))
            _write(creator, "/proc/self/setgroups", "deny")
            _write(creator, "/proc/self/uid_map", f"0 {os.geteuid()} 1")
            _write(creator, "/proc/self/gid_map", f"0 {os.getegid()} 1")
        if flags:
            self._steps.append((creator("unshare", flags), flags))

    def play(self, stage: Stage, made: Step, variant: Variant) -> None:
        """Plays the creator's script; raises `Missing` if the kernel refused the namespaces or the child."""
        stage.play(self._creator)
        for step, flags in self._steps:
            if step.result < 0:
                raise Missing(str(refused(-step.result, flags, "unshare", situation=Situation(threads=1))))
        accepted(made, variant)


def _name(stage: Stage, script: Script, kind: str) -> Place:
    """The identity of a namespace of the process that takes the step, such as uts:[4026531838]."""
    found = stage.place(64)
    script("readlinkat", _AT_FDCWD, f"/proc/self/ns/{kind}", found, 63)
    return found


@experiment(F.NEWUTS, "The child sets the hostname to 'laboratory'. What is its creator's hostname afterwards?")
def newuts(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_NEWUTS: a hostname of its own."""
    creator, child = stage.script(), stage.script()
    world = _World(creator, F.NEWUTS)
    there, here = stage.place(390), stage.place(390)
    creator("sethostname", "creator", 7)
    child("sethostname", "laboratory", 10)
    child("uname", there)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    creator("uname", here)
    world.play(stage, made, variant)

    def nodename(place: Place) -> str:
        return place.raw[65:130].split(b"\0", 1)[0].decode(errors="replace")

    return {"hostname in the child": nodename(there), "hostname in the creator": nodename(here)}


@experiment(F.NEWIPC, "The creator has a System V semaphore. Does the child find it by its key?")
def newipc(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_NEWIPC: System V objects of its own."""
    creator, child = stage.script(), stage.script()
    world = _World(creator, F.NEWIPC)
    creator("semget", _KEY, 1, _IPC_CREAT | 0o600)
    found = child("semget", _KEY, 0, 0)
    name = _name(stage, child, "ipc"), _name(stage, creator, "ipc")
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    world.play(stage, made, variant)
    return {"the child": "finds it" if found.result >= 0 else found.outcome, **_whose(name)}


def _whose(names: tuple[Place, Place]) -> dict[str, object]:
    return {"the child's namespace is": "the creator's" if names[0].text == names[1].text else "its own"}


@experiment(
    F.NEWPID, "The child asks for its own id and its parent's. What does it see, and can it signal its creator?"
)
def newpid(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_NEWPID: a process 1 of its own."""
    creator, child = stage.script(), stage.script()
    world = _World(creator, F(0))
    creator_id = creator("getpid")
    own, above = child("getpid"), child("getppid")
    reached = child("kill", creator_id, 0)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    world.play(stage, made, variant)
    return {
        "getpid in the child": "what clone returned" if own.result == made.result else own.result,
        "getppid in the child": "the creator's id" if above.result == creator_id.result else above.result,
        "a signal from the child to the creator's id": "arrives" if reached.result == 0 else reached.outcome,
    }


@experiment(F.NEWNS, "The child mounts over a directory that contains a file. Does its creator still find the file?")
def newns(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_NEWNS: mounts of its own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").touch()
        creator, child = stage.script(), stage.script()
        world = _World(creator, F.NEWNS)
        creator("mount", "none", "/", 0, MS_REC | MS_PRIVATE, 0)
        child("mount", "none", "/", 0, MS_REC | MS_PRIVATE, 0)
        mounted = child("mount", "laboratory", folder, "tmpfs", 0, 0)
        there = child("openat", _AT_FDCWD, f"{folder}/file", 0)
        made = creator.clone(child, variant.flags, variant.exit_signal)
        creator("reap")
        here = creator("openat", _AT_FDCWD, f"{folder}/file", 0)
        world.play(stage, made, variant)
    if mounted.result < 0:
        raise Missing(f"the child cannot mount a tmpfs: {mounted.outcome}")

    def found(step: Step) -> str:
        return "finds the file" if step.result >= 0 else step.outcome

    return {"the child": found(there), "the creator": found(here)}


@experiment(F.NEWNET, "The child lists network interfaces. Which does it find?")
def newnet(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_NEWNET: a network of its own."""
    creator, child = stage.script(), stage.script()
    world = _World(creator, F(0))
    devices = _read(stage, child, "/proc/self/net/dev")
    socket = child("socket", _AF_INET, _SOCK_DGRAM, 0)
    request = stage.place(40, b"lo")  # struct ifreq: a name of 16 bytes, then the flags
    asked = child("ioctl", socket, _SIOCGIFFLAGS, request)
    names = _name(stage, child, "net"), _name(stage, creator, "net")
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    world.play(stage, made, variant)
    interfaces = sorted(line.partition(":")[0].strip() for line in devices.text.splitlines()[2:] if ":" in line)
    up = struct.unpack_from("=H", request.raw, 16)[0] & _IFF_UP
    return {
        "interfaces": ", ".join(interfaces) or "none",
        "the loopback is": asked.outcome if asked.result < 0 else "up" if up else "down",
        **_whose(names),
    }


@experiment(
    F.NEWUSER, "A creator without privileges makes a child. Which user id and capabilities does the child have?"
)
def newuser(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_NEWUSER: capabilities in a user namespace of its own."""
    creator, child = stage.script(), stage.script()
    if os.geteuid() == 0:
        creator("setresgid", _NOBODY, _NOBODY, _NOBODY)
        creator("setresuid", 1, 1, 1)  # an ordinary user, and not the one that unmapped ids are shown as
    own, uid = creator("getuid"), child("getuid")
    status = _read(stage, child, "/proc/self/status")
    renamed = child("unshare", F.NEWUTS)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    play(stage, creator, made, variant)
    effective = next((line.split()[1] for line in status.text.splitlines() if line.startswith("CapEff")), "unknown")
    return {
        "getuid in the creator": own.result,
        "getuid in the child": uid.result,
        "capabilities in the child": "none" if int(effective, 16) == 0 else effective.lstrip("0"),
        "unshare(CLONE_NEWUTS) in the child": "allowed" if renamed.result == 0 else renamed.outcome,
    }


@experiment(F.NEWCGROUP, "The child reads the paths of its cgroups. What does it see?")
def newcgroup(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_NEWCGROUP: the own cgroup as the root."""
    creator, child = stage.script(), stage.script()
    world = _World(creator, F(0))
    found = _read(stage, child, "/proc/self/cgroup")
    names = _name(stage, child, "cgroup"), _name(stage, creator, "cgroup")
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    world.play(stage, made, variant)
    paths = sorted({line.split(":", 2)[2] for line in found.text.splitlines() if line.count(":") >= 2})
    return {"cgroups of the child": ", ".join(paths), **_whose(names)}


@of_variants(
    "NEWTIME",
    "The child reads a clock. How far is it ahead of its creator's?",
    [
        Variant("without CLONE_NEWTIME", F(0), signal.SIGCHLD),
        Variant("with CLONE_NEWTIME", F.NEWTIME, signal.SIGCHLD),
        Variant("after unshare(CLONE_NEWTIME) and an offset", F(0), signal.SIGCHLD),
    ],
)
def newtime(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_NEWTIME: clocks with offsets of their own."""
    creator, child = stage.script(), stage.script()
    world = _World(creator, F.NEWTIME if "unshare" in variant.heading else F(0))
    if "unshare" in variant.heading:
        _write(creator, "/proc/self/timens_offsets", f"monotonic {_AHEAD} 0\n")
    here, there = stage.place(16), stage.place(16)
    creator("clock_gettime", _CLOCK_MONOTONIC, here)
    child("clock_gettime", _CLOCK_MONOTONIC, there)
    names = _name(stage, child, "time"), _name(stage, creator, "time")
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    world.play(stage, made, variant)
    ahead = round((there.seconds - here.seconds) / 1000) * 1000
    return {"ahead by, in seconds": f"{ahead:,}", **_whose(names)}


@experiment(
    F.INTO_CGROUP, "The creator passes a descriptor of a new cgroup to clone. In which cgroup does the child start?"
)
def into_cgroup(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_INTO_CGROUP: the child starts in a given cgroup."""
    home = _cgroup2()
    try:
        own = OwnCgroup(home)
    except OSError as error:
        raise Missing(f"cannot create a cgroup in {home}: {error.strerror}") from error
    descriptor = os.open(own.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        creator, child = stage.script(), stage.script()
        found = _read(stage, child, "/proc/self/cgroup")
        made = creator.clone(child, variant.flags, variant.exit_signal, cgroup=descriptor)
        creator("reap")
        stage.play(creator)
    finally:
        os.close(descriptor)
        own.remove()
    accepted(made, variant)
    path = next((line[3:] for line in found.text.splitlines() if line.startswith("0::")), "")
    where = "in the new one" if path.endswith(own.path.name) else "in its creator's"
    return {"the child starts": where}


def _cgroup2() -> Path:
    """The directory of this process's cgroup of version 2."""
    if Situation().kernel < FACTS[F.INTO_CGROUP].since:
        raise Missing(f"CLONE_INTO_CGROUP needs {version_text(FACTS[F.INTO_CGROUP].since)}")
    if (own := cgroups.of_version_2()) is not None:
        return own.folder
    raise Missing("no cgroup hierarchy of version 2 is mounted")
