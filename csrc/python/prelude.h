#include <kthreads/kthreads.h>
#include "python/python.h"
#include "lab/lab.h"
#include "bench/bench.h"
#include "preload/statistics.h"
