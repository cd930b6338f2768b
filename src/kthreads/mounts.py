"""What a process finds in its root: the mounts that `kthreads.Process` takes."""

from kthreads.processes.mounts import Bind, Dev, Device, Directory, Mount, Overlay, Proc, Symlink, Sys, Tmpfs

__all__ = ["Bind", "Dev", "Device", "Directory", "Mount", "Overlay", "Proc", "Symlink", "Sys", "Tmpfs"]
