"""Native functions on the worker processes of a dask cluster. This cluster runs on the local machine."""

import zlib

import dask
from distributed import Client, LocalCluster

import kthreads
from kthreads.integrations.dask import KThreadsPlugin

crc32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned)")


def main():
    parts = [bytes([n]) * 100_000 for n in range(10)]
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster, Client(cluster) as client:
        client.register_plugin(KThreadsPlugin())
        with dask.annotate(executor="kthreads"):
            futures = [client.submit(crc32, 0, part, len(part)) for part in parts]
        print(client.gather(futures) == [zlib.crc32(part) for part in parts])


if __name__ == "__main__":
    main()
# prints: True
