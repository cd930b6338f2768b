"""Settings of the kernel (sysctl(8)) that namespaces have of their own. All others are of the host.

Which belong to which namespace is what container engines allow, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kthreads.flags.clone_flags import CloneFlags

__all__ = ["Sysctls", "sysctl_files"]

_IPC = "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split()  # noqa: SIM905
_OWNERS = {f"kernel/{name}": CloneFlags.NEWIPC for name in _IPC}
_OWNERS |= {"kernel/hostname": CloneFlags.NEWUTS, "kernel/domainname": CloneFlags.NEWUTS}
_OWNERS_OF_FOLDERS = {"fs/mqueue/": CloneFlags.NEWIPC, "net/": CloneFlags.NEWNET, "user/": CloneFlags.NEWUSER}

Sysctls = Mapping[str, str | int]
"""How they may be given: {name: value}, such as {"net.ipv4.ip_forward": 1}."""


def _path_of(name: str) -> str:
    """As sysctl(8) reads a name: where its first separator is a slash, dots are parts of names."""
    first = next((each for each in name if each in "./"), ".")
    path = name.translate(str.maketrans("./", "/.")) if first == "." else name
    parts = path.split("/")
    if len(parts) < 2 or not all(parts) or {".", ".."} & set(parts):
        raise ValueError(f"not a name of a sysctl, such as net.ipv4.ip_forward: {name!r}")
    return path


def _owner_of(path: str) -> CloneFlags | None:
    """The kind of namespace that has this setting of its own."""
    of_folder = (flag for folder, flag in _OWNERS_OF_FOLDERS.items() if path.startswith(folder))
    return _OWNERS.get(path) or next(of_folder, None)


def sysctl_files(given: Sysctls, new: CloneFlags) -> Iterator[tuple[str, str]]:
    """The files to write, and what into each.

    Args:
        given: what is asked for.
        new: the namespaces that are new.

    Raises:
        TypeError, ValueError: a name or a value is none, or a setting belongs to a namespace that is not new.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"sysctls must be a mapping of names to values, not {type(given).__name__}")
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str | int):
            raise TypeError(f"sysctls are names, and values that are str or int, not {name!r}: {value!r}")
        path = _path_of(name)
        owner = _owner_of(path)
        if owner is None:
            raise ValueError(f"the sysctl {name} is of the host: no namespace has one of its own")
        if not owner & new:
            raise ValueError(f"the sysctl {name} would change the host: add CloneFlags.{owner.name} to namespaces=")
        yield f"/proc/sys/{path}", str(int(value) if isinstance(value, int) else value)
