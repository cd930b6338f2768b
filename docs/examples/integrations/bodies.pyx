# cython: language_level=3

cdef api void axpy(Py_ssize_t begin, Py_ssize_t end, double a, const double *x, double *y) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(begin, end):
        y[i] += a * x[i]
