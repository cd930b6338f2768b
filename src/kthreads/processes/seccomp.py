"""Filters of system calls (seccomp(2)): a default one, and those that a program brings with it.

The default is a short list of calls that few programs make and in which faults of the kernel gave privileges, as Docker's
is. All other calls are allowed, so that the filter need not know them.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from kthreads.flags.clone_flags import CloneFlags
from kthreads.processes.capabilities import capability_mask

__all__ = ["Filter", "build_filter", "read_filter"]


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


Filter = str | bytes | _HasDescriptor
"""How a filter may be given: "default", its instructions (struct sock_filter each), or an open file of them."""

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of _DENIED, AUDIT_ARCH_*
_X32 = 0x40000000  # the bit of x86-64's second set of numbers

# Numbers on x86-64 and aarch64; None where there is no such call. With a capability that is kept its calls are allowed.
# fmt: off
_DENIED: dict[str, dict[str, tuple[int | None, int | None]]] = {
    # Keys are not in namespaces, and both had faults that gave privileges.
    "": {
        "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "userfaultfd": (323, 282),
        "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
        "uselib": (134, None), "ustat": (136, None), "sysfs": (139, None), "nfsservctl": (180, 42),
        "lookup_dcookie": (212, 18),
    },
    "BPF": {"bpf": (321, 280)},
    "PERFMON": {"perf_event_open": (298, 241)},
    # Mounts of a user namespace are the largest part of the kernel that any user reaches.
    "SYS_ADMIN": {
        "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "open_tree": (428, 428),
        "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
        "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "setns": (308, 268),
        "quotactl": (179, 60), "quotactl_fd": (443, 443), "swapon": (167, 224), "swapoff": (168, 225),
    },
    "DAC_READ_SEARCH": {"name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265)},
    "SYS_BOOT": {"reboot": (169, 142), "kexec_load": (246, 104), "kexec_file_load": (320, 294)},
    "SYS_MODULE": {"init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106)},
    "SYS_PACCT": {"acct": (163, 89)},
    "SYS_RAWIO": {"iopl": (172, None), "ioperm": (173, None)},
    "SYS_TIME": {"settimeofday": (164, 170), "clock_settime": (227, 112)},
    "SYSLOG": {"syslog": (103, 116)},
}
# fmt: on
_IOCTL, _UNSHARE, _CLONE, _CLONE3 = (16, 29), (272, 97), (56, 220), (435, 435)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD|W|ABS, BPF_JMP|…, BPF_RET
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data; of arguments the low half
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_MOST = 4096  # BPF_MAXINSNS


class _Instruction(NamedTuple):
    code: int
    value: int
    if_true: int = 0
    if_false: int = 0


def _refuse(code: int = errno.EPERM) -> _Instruction:
    return _Instruction(_RETURN, _ERROR | code)


def _refuse_call(number: int, code: int = errno.EPERM) -> Iterator[_Instruction]:
    yield _Instruction(_EQUAL, number, 0, 1)
    yield _refuse(code)


def _refuse_argument(number: int, offset: int, test: int, value: int) -> Iterator[_Instruction]:
    """Refuses a call if a test of its argument is true."""
    yield _Instruction(_EQUAL, number, 0, 4)
    yield _Instruction(_LOAD, offset)
    yield _Instruction(test, value, 0, 1)
    yield _refuse()
    yield _Instruction(_LOAD, _NUMBER)


def _default(column: int, kept: int) -> Iterator[_Instruction]:
    for capability, calls in _DENIED.items():
        if not capability or not capability_mask(capability) & kept:
            for numbers in calls.values():
                number = numbers[column]
                if number is not None:
                    yield from _refuse_call(number)
    for request in (_TIOCSTI, _TIOCLINUX):
        yield from _refuse_argument(_IOCTL[column], _SECOND, _EQUAL, request)


def _no_user_namespaces(column: int) -> Iterator[_Instruction]:
    for numbers in (_UNSHARE, _CLONE):
        yield from _refuse_argument(numbers[column], _FIRST, _ANY_BIT, int(CloneFlags.NEWUSER))
    # A filter cannot read the flags of clone3. Where there is none, libc calls clone.
    yield from _refuse_call(_CLONE3[column], errno.ENOSYS)


def build_filter(*, default: bool, user_namespaces: bool, kept: int) -> bytes:
    """The instructions of a filter. It refuses all calls of programs for another architecture, such as 32-bit ones.

    Args:
        default: whether it refuses the calls of the list.
        user_namespaces: whether the program may make user namespaces.
        kept: the mask of the capabilities that the program keeps.
    """
    column, architecture = _ARCHITECTURES[os.uname().machine]
    code = [_Instruction(_LOAD, _ARCHITECTURE), _Instruction(_EQUAL, architecture, 1, 0), _refuse(errno.ENOSYS)]
    code.append(_Instruction(_LOAD, _NUMBER))
    if column == 0:
        code += [_Instruction(_AT_LEAST, _X32, 0, 1), _refuse(errno.ENOSYS)]
    if default:
        code += _default(column, kept)
    if not user_namespaces:
        code += _no_user_namespaces(column)
    code.append(_Instruction(_RETURN, _ALLOW))
    return b"".join(struct.pack("=HBBI", each.code, each.if_true, each.if_false, each.value) for each in code)


def read_filter(given: bytes | _HasDescriptor) -> bytes:
    """The instructions of a filter that the caller brings.

    Raises:
        ValueError: it has not 1 to 4096 instructions of 8 bytes. The kernel checks what they do.
    """
    if not isinstance(given, bytes):
        if not hasattr(given, "fileno"):
            raise TypeError(f'seccomp must be "default", the bytes of a filter or an open file, not {given!r}')
        with open(os.dup(given.fileno()), "rb") as file:
            given = file.read()
    count, rest = divmod(len(given), 8)
    if rest or not 0 < count <= _MOST:
        raise ValueError(f"a filter of system calls has 1 to {_MOST} instructions of 8 bytes, not {len(given)} bytes")
    return given
