#include <kthreads/kthreads.h>
#include "python.h"
#include "lab.h"
#include "bench.h"
