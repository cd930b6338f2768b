"""Pools of kernel threads obey threadpool_limits."""

from threadpoolctl import threadpool_info, threadpool_limits

import kthreads
from kthreads.integrations import threadpoolctl as kthreads_threadpoolctl

kthreads_threadpoolctl.register()

with kthreads.Pool(4) as pool:
    print([(info["user_api"], info["num_threads"]) for info in threadpool_info() if info["user_api"] == "kthreads"])
    with threadpool_limits(limits=1, user_api="kthreads"):
        print(pool.workers, kthreads.limits.default_workers())
    print(pool.workers)
# prints: [('kthreads', 4)]
# prints: 1 1
# prints: 4
