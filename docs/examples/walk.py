"""Adds up the sizes of the files below folders. One thread walks each folder, with its own working directory.

A thread that can change its working directory needs no path longer than one name. It can walk a tree so deep that a path
would be too long for the kernel (PATH_MAX, 4096 bytes). If another program renames a folder, the thread stays in it.
"""

import os
import sys

import kthreads
from kthreads import CloneFlags


def size_below(folder: str) -> int:
    """Bytes in the regular files below a folder. The folder becomes the working directory of this thread."""
    os.chdir(folder)
    total, subfolders = _look_around()
    to_visit = [subfolders]  # for each folder from this one upwards
    while to_visit:
        if to_visit[-1]:
            os.chdir(to_visit[-1].pop())
            size, subfolders = _look_around()
            total += size
            to_visit.append(subfolders)
        else:
            to_visit.pop()
            if to_visit:
                os.chdir("..")
    return total


def _look_around() -> tuple[int, list[str]]:
    """Bytes of the files in the working directory, and the names of the folders in it."""
    size, folders = 0, []
    with os.scandir(".") as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif entry.is_file(follow_symlinks=False):
                size += entry.stat(follow_symlinks=False).st_size
    return size, folders


def sizes_below(folders: list[str]) -> dict[str, int]:
    """`size_below` of several folders at once, one thread for each."""
    threads = {
        folder: kthreads.Thread(target=size_below, args=(folder,), share=kthreads.flags.SHARE_ALL & ~CloneFlags.FS)
        for folder in folders
    }
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join()
    return {folder: thread.result for folder, thread in threads.items()}


if __name__ == "__main__":
    for folder, size in sizes_below(sys.argv[1:] or ["."]).items():
        print(f"{size:>14,}  {folder}")
