#include <kthreads/kthreads.h>
#include "python.h"
