"""The command `kthreads`: one module a command, each imported only when it is asked for.

May use everything but lab and bench, which the commands of the same names alone use."""
