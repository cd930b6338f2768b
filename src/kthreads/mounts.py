"""What a process finds in its root: the mounts that `kthreads.Process` takes."""

from kthreads.processes.mounts import Bind, Dev, Mount, Overlay, Proc, Sys, Tmpfs

__all__ = ["Bind", "Dev", "Mount", "Overlay", "Proc", "Sys", "Tmpfs"]
