"""The commands that run programs: `kthreads unshare`, `nsenter`, `run`; and `kthreads ps`, which shows where they are.

Imported one at a time, when it is asked for.
"""
