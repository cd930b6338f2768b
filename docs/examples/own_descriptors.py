"""A thread with its own descriptor table closes all descriptors in it. No other thread is affected."""

import os
import tempfile

import kthreads
from kthreads import CloneFlags


def work(path: str) -> tuple[int, bytes]:
    """Closes this thread's copies of the descriptors, then opens a file. Returns its descriptor and its content."""
    os.closerange(3, 1 << 20)
    mine = os.open(path, os.O_RDONLY)
    return mine, os.read(mine, 100)


def main() -> None:
    with tempfile.NamedTemporaryFile() as theirs, tempfile.NamedTemporaryFile() as ours:
        theirs.write(b"for the thread")
        theirs.flush()
        ours.write(b"for the process")
        ours.flush()
        thread = kthreads.Thread(target=work, args=(theirs.name,), share=kthreads.flags.SHARE_ALL & ~CloneFlags.FILES)
        thread.start()
        thread.join()
        number, text = thread.result
        print(f"the thread read {text!r} from its descriptor {number}")
        print(f"the process reads {os.pread(ours.fileno(), 100, 0)!r} from its descriptor, which it did not lose")


if __name__ == "__main__":
    main()
