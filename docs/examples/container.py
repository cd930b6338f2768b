"""A container in one call: a root of its own from a few folders of the host, nothing else of it in reach."""

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
    uid_map="root",  # inside, the user who starts it is 0, and can do nothing with it outside
    gid_map="root",
    hostname="box",
    root=Tmpfs(),
    mounts=[*system, Dev(), Tmpfs("/tmp", size=1 << 20)],
    init=True,  # process 1 reaps; the program is process 2
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
)
output, _ = process.communicate(timeout=30)
print(output, end="")
