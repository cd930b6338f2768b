"""joblib.Parallel on kernel threads: native calls need no GIL."""

import zlib

from joblib import Parallel, delayed, parallel_config

import kthreads
from kthreads.integrations import joblib as kthreads_joblib

kthreads_joblib.register()

crc32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned)")
parts = [bytes([n]) * 100_000 for n in range(40)]
with parallel_config(backend="kthreads", n_jobs=-1):
    sums = Parallel()(delayed(crc32)(0, part, len(part)) for part in parts)
print(len(sums), sums == [zlib.crc32(part) for part in parts])
# prints: 40 True
