"""Starts a container whose root is made of a few directories of the host. Nothing else of the host can be reached."""

import os
import subprocess

from kthreads import CloneFlags, Process
from kthreads.mounts import Bind, Dev, Tmpfs

namespaces = (
    CloneFlags.NEWUSER
    | CloneFlags.NEWNS
    | CloneFlags.NEWPID
    | CloneFlags.NEWNET
    | CloneFlags.NEWUTS
    | CloneFlags.NEWIPC
)
system = [Bind(path, read_only=True) for path in ("/usr", "/bin", "/lib", "/lib64") if os.path.exists(path)]

process = Process(
    ["sh", "-c", "id -u; uname -n; echo /proc/[0-9]*; ls /; touch /usr/file"],
    namespaces=namespaces,
    uid_map="root",  # inside, the caller is user 0, which gives it no privileges outside
    gid_map="root",
    hostname="box",
    root=Tmpfs(),
    mounts=[*system, Dev(), Tmpfs("/tmp", size=1 << 20)],
    init=True,  # process 1 is an init that reaps; the program is process 2
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
)
output, _ = process.communicate(timeout=30)
print(output, end="")
