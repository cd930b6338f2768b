"""What a child does between clone and its program: a list of system calls with arguments prepared beforehand.

Which steps in which order is said here and above; how each is made is csrc/process/child_steps.c.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kthreads._native import ffi, lib
from kthreads.processes.idmap import check_id
from kthreads.processes.resource_limits import ResourceLimit

__all__ = ["Steps", "files_of"]

_LAUNCHER = b"kthreads-init"
_STEPS = ffi.typeof("kt_step[]")
_BY = "(mount_setattr, Linux 5.12)"
_text, _pointers = ffi.typeof("char[]"), ffi.typeof("uintptr_t[]")
_TO_THE_LAST = _NO_SLOT = -1

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def files_of(program: Path, env: Mapping[Any, Any] | None) -> list[Path]:
    """The files that the name of a program may stand for: those of the PATH of an environment, None for this process's."""
    name = os.fspath(program)
    if os.path.dirname(name):
        return [name]
    return [os.path.join(os.fsencode(folder), os.fsencode(name)) for folder in os.get_exec_path(env)]


def _variables(env: Mapping[Any, Any]) -> list[bytes]:
    pairs = [(os.fsencode(name), os.fsencode(value)) for name, value in env.items()]
    if wrong := [name for name, _ in pairs if b"=" in name]:
        raise ValueError(f"illegal environment variable name: {os.fsdecode(wrong[0])!r} contains =")
    return [name + b"=" + value for name, value in pairs]


class Steps:
    """Builds the steps of a `kt_process_spec`. Each method adds one, in the order that they are to be taken."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, dict[str, Any], str | None]] = []
        self._keep: list[Any] = []
        self._slots: list[str] = []  # what each holds, for messages
        self.before_clone = 0

    def __len__(self) -> int:
        return len(self._rows)

    def describe(self, index: int) -> str:
        """What the step does, for a message: "cannot …"."""
        return self._rows[index][1]

    def path(self, index: int) -> str | None:
        """The file that the step names, if it names one."""
        if self._rows[index][3] is not None:
            return self._rows[index][3]
        held = self._rows[index][2].get("path")
        return None if held is None else os.fsdecode(ffi.string(held))

    def is_exec(self, index: int) -> bool:
        return bool(self._rows[index][0] == lib.KT_STEP_EXEC)

    def has_go(self) -> bool:
        return any(kind == lib.KT_STEP_GO for kind, *_ in self._rows)

    def build(self) -> Any:
        """The ``kt_step[]``, valid as long as it and this object live."""
        built = ffi.new(_STEPS, len(self._rows))
        for step, (kind, _, fields, _) in zip(built, self._rows, strict=True):
            step.kind = kind
            for name, value in fields.items():
                setattr(step, name, value)
        self._keep.append(built)
        return built

    def _add(self, kind: int, does: str, *, names: Path | None = None, **fields: Any) -> None:
        """`does` is what a message says after "cannot"; `names` the file of an error, where that is not the field `path`."""
        self._rows.append((kind, does, fields, None if names is None else os.fsdecode(names)))

    def _string(self, text: Path) -> Any:
        data = os.fsencode(text)
        if b"\0" in data:
            raise ValueError("embedded null byte")
        held = ffi.new(_text, data)
        self._keep.append(held)
        return held

    def _strings(self, texts: Sequence[Path]) -> Any:
        """An array of strings that ends with NULL, in two allocations."""
        encoded = [os.fsencode(text) for text in texts]
        blob = b"\0".join([*encoded, b""])
        if blob.count(b"\0") != len(encoded):
            raise ValueError("embedded null byte")
        held = ffi.new(_text, blob)
        at = int(ffi.cast("uintptr_t", held))
        addresses = []
        for text in encoded:
            addresses.append(at)
            at += len(text) + 1
        array = ffi.new(_pointers, [*addresses, 0])
        self._keep += [held, array]
        return ffi.cast("char *const *", array)

    def _data(self, data: bytes) -> Any:
        held = ffi.new(_text, data)
        self._keep.append(held)
        return held

    def _slot(self, holds: Path) -> int:
        if len(self._slots) == lib.KT_SLOTS:
            raise ValueError(f"no more than {lib.KT_SLOTS} mounts can be made for one process")
        self._slots.append(os.fsdecode(holds))
        return len(self._slots) - 1

    def clone(self) -> None:
        """Clones the process: the steps up to here are those of an intermediate process, whose namespaces it is in."""
        self.before_clone = len(self)

    def go(self) -> None:
        """Waits until the parent has done its part, such as the maps of ids."""
        self._add(lib.KT_STEP_GO, "wait for its parent")

    def setns(self, fd: int, flags: int) -> None:
        """Enters the namespace that `fd` names; `flags` as setns(2) takes them, 0 for whatever it is."""
        self._add(lib.KT_STEP_SETNS, f"enter the namespace of descriptor {fd} (setns)", fd=fd, flags=flags)

    def unshare(self, flags: int) -> None:
        self._add(lib.KT_STEP_UNSHARE, f"unshare({flags:#x})", flags=flags)

    def fork(self) -> None:
        """Goes on in a child; the process itself stays, reaps, passes signals on and ends as the child does."""
        self._add(lib.KT_STEP_FORK, "fork")

    def hostname(self, name: str) -> None:
        self._add(lib.KT_STEP_HOSTNAME, f"set the hostname to {name!r}", text=self._string(name))

    def domainname(self, name: str) -> None:
        self._add(lib.KT_STEP_DOMAINNAME, f"set the domain name to {name!r}", text=self._string(name))

    def loopback(self) -> None:
        """Brings the loopback interface up."""
        self._add(lib.KT_STEP_LOOPBACK, "bring the loopback interface up")

    def write(self, path: Path, text: str) -> None:
        """Writes a text into a file that exists, such as one of /proc."""
        does = f"write {text!r} to {os.fsdecode(path)}"
        self._add(lib.KT_STEP_WRITE, does, path=self._string(path), text=self._string(text))

    def mount(self, source: Path | None, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
        """mount(2)."""
        fields = {"path": self._string(target), "flags": flags}
        for name, value in (("source", source), ("type", kind), ("text", data)):
            if value is not None:
                fields[name] = self._string(value)
        self._add(lib.KT_STEP_MOUNT, f"mount {os.fsdecode(target)}", **fields)

    def unmount(self, path: Path, flags: int = 0) -> None:
        self._add(lib.KT_STEP_UNMOUNT, f"unmount {os.fsdecode(path)}", path=self._string(path), flags=flags)

    def tree(self, path: Path) -> int:
        """Takes a detached copy of the mounts at `path`; returns its slot."""
        slot = self._slot(path)
        does = f"take the files at {os.fsdecode(path)} (open_tree)"
        self._add(lib.KT_STEP_TREE, does, path=self._string(path), slot=slot)
        return slot

    def taken_tree(self, fd: int, path: Path) -> int:
        """A tree that the parent has taken at `path`; returns its slot."""
        slot = self._slot(path)
        self._add(lib.KT_STEP_TREE, f"take the files at {os.fsdecode(path)}", names=path, fd=fd, slot=slot)
        return slot

    def filesystem(
        self,
        kind: str,
        options: Mapping[str, str] | Iterable[tuple[str, str]],
        attributes: int = 0,
        *,
        target: Path | None = None,
        note: str = "",
    ) -> int:
        """Makes a detached file system, to be mounted on `target`, if that is known; returns its slot. An option with the
        value "" is a flag."""
        slot = self._slot(kind)
        given = options.items() if isinstance(options, Mapping) else options
        pairs = ["source", kind, *(text for pair in given for text in pair)]
        does = (
            f"make a file system of type {kind}" if target is None else f"mount {kind} on {os.fsdecode(target)}{note}"
        )
        fields = {"type": self._string(kind), "argv": self._strings(pairs), "flags": attributes, "slot": slot}
        self._add(lib.KT_STEP_FILESYSTEM, does, names=target, **fields)
        return slot

    def attributes(self, slot: int, attributes: int) -> None:
        """Sets MOUNT_ATTR_* on all mounts of the slot (Linux 5.12)."""
        does = f"set mount attributes {attributes:#x} of {self._slots[slot]} {_BY}"
        self._add(lib.KT_STEP_ATTRIBUTES, does, names=self._slots[slot], slot=slot, flags=attributes)

    def attributes_at(self, path: Path, attributes: int, *, recursive: bool = False) -> None:
        """Sets MOUNT_ATTR_* on the mount at `path`, and on those below it."""
        does = f"set mount attributes {attributes:#x} of {os.fsdecode(path)} {_BY}"
        self._add(lib.KT_STEP_ATTRIBUTES, does, path=self._string(path), flags=attributes, number=int(recursive))

    def protect(self, slot: int | None, path: Path, attributes: int) -> None:
        """Sets MOUNT_ATTR_* on a file of the slot's mount, or of the root, if there is one."""
        does = f"set mount attributes {attributes:#x} of {os.fsdecode(path)} {_BY}"
        where = _NO_SLOT if slot is None else slot
        self._add(lib.KT_STEP_PROTECT, does, slot=where, path=self._string(path), flags=attributes)

    def mask(self, slot: int | None, path: Path, covers: tuple[int, int]) -> None:
        """Covers a file of the slot's mount, or of the root, by one of two slots: with a folder in it, or with a file."""
        folder, file = covers
        where = {"slot": _NO_SLOT if slot is None else slot, "path": self._string(path)}
        self._add(lib.KT_STEP_MASK, f"hide {os.fsdecode(path)}", fd=folder, number=file, **where)

    def attach(self, slot: int, target: Path) -> None:
        """Mounts what the slot holds."""
        does = f"mount {self._slots[slot]} on {os.fsdecode(target)}"
        self._add(lib.KT_STEP_ATTACH, does, slot=slot, path=self._string(target))

    def pivot(self, path: Path) -> None:
        """Makes the mount at `path` the root and lets go of the old one."""
        self._add(lib.KT_STEP_PIVOT, f"make {os.fsdecode(path)} the root (pivot_root)", path=self._string(path))

    def mkdir(self, path: Path, mode: int = 0o755) -> None:
        does = f"make the folder {os.fsdecode(path)}"
        self._add(lib.KT_STEP_MKDIR, does, path=self._string(path), number=mode)

    def mkfile(self, path: Path, mode: int = 0o644) -> None:
        does = f"make the file {os.fsdecode(path)}"
        self._add(lib.KT_STEP_MKFILE, does, path=self._string(path), number=mode)

    def symlink(self, path: Path, target: Path) -> None:
        does = f"make the symbolic link {os.fsdecode(path)}"
        self._add(lib.KT_STEP_SYMLINK, does, path=self._string(path), text=self._string(target))

    def chdir(self, path: Path | int, *, in_root: bool = False) -> None:
        """Changes to a folder, given by path or descriptor. `in_root`: it must lie under the root, and no link of /proc
        leads there."""
        where = {"fd": path} if isinstance(path, int) else {"path": self._string(path)}
        self._add(lib.KT_STEP_CHDIR, f"change to {path!r}", flags=int(in_root), **where)

    def chroot(self, path: Path | int) -> None:
        where = {"fd": path} if isinstance(path, int) else {"path": self._string(path)}
        self._add(lib.KT_STEP_CHROOT, f"make {path!r} the root (chroot)", **where)

    def umask(self, mask: int) -> None:
        self._add(lib.KT_STEP_UMASK, "set the umask", number=mask)

    def close(self, first: int, last: int = _TO_THE_LAST, *, at_exec: bool) -> None:
        """Closes the descriptors from `first` to `last`, at once or as the program begins."""
        self._add(lib.KT_STEP_CLOSE, "close descriptors", fd=first, number=last, flags=int(at_exec))

    def dup(self, fd: int, number: int) -> None:
        """Makes descriptor `number` a copy of `fd` that stays open; they may be the same."""
        self._add(lib.KT_STEP_DUP, f"pass descriptor {fd} on as {number}", fd=fd, number=number)

    def setsid(self) -> None:
        self._add(lib.KT_STEP_SETSID, "make a session of its own")

    def terminal(self, fd: int) -> None:
        """Makes a terminal the controlling one of the new session."""
        self._add(lib.KT_STEP_TERMINAL, f"make descriptor {fd} its controlling terminal", fd=fd)

    def keyring(self) -> None:
        """Leaves the session keyring for a new one (session-keyring(7))."""
        self._add(lib.KT_STEP_KEYRING, "make a session keyring of its own")

    def setpgid(self, group: int) -> None:
        self._add(lib.KT_STEP_SETPGID, f"enter process group {group}", number=group)

    def groups(self, groups: Iterable[int]) -> None:
        """Supplementary groups."""
        listed = [check_id(group) for group in groups]
        data = self._data(struct.pack(f"={len(listed)}I", *listed))
        self._add(lib.KT_STEP_GROUPS, f"set the groups to {listed}", data=data, count=len(listed))

    def gid(self, gid: int) -> None:
        self._add(lib.KT_STEP_GID, f"become group {gid}", number=check_id(gid))

    def uid(self, uid: int) -> None:
        self._add(lib.KT_STEP_UID, f"become user {uid}", number=check_id(uid))

    def bound_capabilities(self, mask: int) -> None:
        """Takes all others off the bounding, inheritable and ambient sets. It needs CAP_SETPCAP where the bounding set has
        others, so it comes before the ids change."""
        self._add(lib.KT_STEP_BOUND_CAPABILITIES, "drop capabilities from the bounding set", flags=mask)

    def capabilities(self, mask: int) -> None:
        """Keeps only these in the sets of the process, and makes them ambient."""
        self._add(lib.KT_STEP_CAPABILITIES, "drop capabilities", flags=mask)

    def no_new_privs(self) -> None:
        self._add(lib.KT_STEP_NO_NEW_PRIVS, "set no_new_privs")

    def parent_death(self, number: int) -> None:
        self._add(lib.KT_STEP_PARENT_DEATH, "ask for a signal at its parent's death", number=number)

    def not_dumpable(self) -> None:
        self._add(lib.KT_STEP_NOT_DUMPABLE, "make itself unreadable to others")

    def rlimit(self, limit: ResourceLimit) -> None:
        data = self._data(struct.pack("=QQ", limit.soft % 2**64, limit.hard % 2**64))
        does = f"set the limit {limit.name} to {limit.soft}, and {limit.hard} at most"
        self._add(lib.KT_STEP_RLIMIT, does, number=limit.number, data=data)

    def cpus(self, cpus: Iterable[int]) -> None:
        """Has the process run on these CPUs alone, until it chooses others (sched_setaffinity(2))."""
        numbers = sorted(cpus)
        mask = sum(1 << cpu for cpu in numbers).to_bytes(8 * (numbers[-1] // 64 + 1), "little")  # of unsigned long
        self._add(lib.KT_STEP_CPUS, f"run on the CPUs {numbers} alone", data=self._data(mask), count=len(mask))

    def default_signals(self, numbers: Iterable[int]) -> None:
        """Gives signals their default action, even where the parent ignores them."""
        mask = sum(1 << number - 1 for number in set(numbers))
        self._add(lib.KT_STEP_DEFAULT_SIGNALS, "reset signals", flags=mask)

    def filter(self, code: bytes) -> None:
        """Filters the system calls of the program (seccomp(2))."""
        self._add(lib.KT_STEP_FILTER, "filter system calls", data=self._data(code), count=len(code) // 8)

    def exec(
        self,
        paths: Sequence[Path],
        argv: Sequence[Path],
        env: Mapping[Any, Any] | None,
        launch: int = 0,
        launcher: Path = _LAUNCHER,
    ) -> None:
        """Executes the first of `paths` that can be; the last step. `env` None is this process's environment. `launch` is
        KT_EXEC_LAUNCH or KT_EXEC_INIT for a program that the launcher executes, which has the name `launcher`."""
        words = [launcher, b" " * (lib.KT_EXEC_ROOM - 1), *paths, *argv] if launch else argv
        fields = {"paths": self._strings(paths), "argv": self._strings(words), "flags": launch, "number": len(paths)}
        if env is not None:
            fields["envp"] = self._strings(_variables(env))
        self._add(lib.KT_STEP_EXEC, f"execute {os.fsdecode(argv[0])}", **fields)
