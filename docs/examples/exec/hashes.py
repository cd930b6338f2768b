"""Hashes four blocks, each on a thread of Python's own."""

import hashlib
import threading

digests = [""] * 4


def digest(number: int) -> None:
    digests[number] = hashlib.sha256(bytes([number]) * 5_000_000).hexdigest()[:8]


threads = [threading.Thread(target=digest, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*digests)
