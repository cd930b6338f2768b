/* Maps over arrays that need no preparation: of the very types of the function, contiguous, and of one shape.
 */
#include "call/items.h"

/* A kt_map with one dimension, and what it points to. */
struct map {
    kt_map map;
    uint64_t count;
    int64_t strides[KT_MAP_OPERANDS];
};

/* Adds a view of an array whose items are of this type. */
static bool take(const kt__plan *plan, const struct kt__parameter *type, PyObject *value, int flags,
                 kt__held *held)
{
    Py_buffer *view = &held->views[held->keep.count];
    if (kt__check_of_type(plan->module, Py_TYPE(value)) != KT_CHECK_DTYPE ||
        PyObject_GetBuffer(value, view, flags) < 0) {
        PyErr_Clear();
        return false;
    }
    held->keep.count++;
    return view->ndim > 0 && view->len > 0 && PyBuffer_IsContiguous(view, 'C') &&
           kt__are_in_place(type, kt__items_of(view));
}

static bool has_same_shape(const Py_buffer *view, const Py_buffer *other)
{
    bool same = view->ndim == other->ndim;
    for (int i = 0; same && i < view->ndim; i++) {
        same = view->shape[i] == other->shape[i];
    }
    return same;
}

/* Whether results may be stored while the items of another operand are still to be read. */
static bool is_apart(const Py_buffer *results, const Py_buffer *view)
{
    const char *begin = results->buf, *other = view->buf;
    return (begin == other && results->itemsize == view->itemsize) || begin + results->len <= other ||
           other + view->len <= begin;
}

static bool take_all(const kt__plan *plan, PyObject *arrays, PyObject *out, kt__held *held)
{
    for (Py_ssize_t i = 0; i < plan->count; i++) {
        if (!take(plan, &plan->parameters[i], PyTuple_GetItem(arrays, i), PyBUF_FULL_RO, held) ||
            !has_same_shape(&held->views[i], &held->views[0])) {
            return false;
        }
    }
    if (!take(plan, &plan->result, out, PyBUF_FULL, held)) {
        return false;
    }
    const Py_buffer *results = &held->views[plan->count];
    bool fits = has_same_shape(results, &held->views[0]);
    for (Py_ssize_t i = 0; fits && i < plan->count; i++) {
        fits = is_apart(results, &held->views[i]);
    }
    return fits;
}

static void fill(const kt__plan *plan, kt_function function, const kt__held *held, struct map *map)
{
    const Py_buffer *results = &held->views[plan->count];
    map->count = (uint64_t)(results->len / results->itemsize);
    map->map = (kt_map){.function = function,
                        .parameters = (uint32_t)plan->count,
                        .dimensions = 1,
                        .shape = &map->count,
                        .strides = map->strides};
    for (Py_ssize_t i = 0; i <= plan->count; i++) {
        const struct kt__parameter *type = i < plan->count ? &plan->parameters[i] : &plan->result;
        map->map.operands[i].items = held->views[i].buf;
        map->map.operands[i].type = kt__item_in_place(type);
        map->strides[i] = held->views[i].itemsize;
    }
}

PyObject *kt__map(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    kt__plan *plan = kt__plan_of(self);
    if (!plan) {
        return NULL;
    }
    if (count != 2 || !PyTuple_Check(args[0]) || PyTuple_Size(args[0]) != plan->count || plan->count < 1) {
        PyErr_SetString(PyExc_TypeError,
                        "map takes a tuple with an array for each parameter, and an array for results");
        return NULL;
    }
    void *memory;
    kt__held *held = kt__hold(plan, args[0], plan->count + 1, sizeof(struct map), &memory);
    if (!held) {
        return NULL;
    }
    if (!take_all(plan, args[0], args[1], held)) {
        Py_DECREF((PyObject *)held);
        return Py_NewRef(Py_None);
    }
    struct map *map = memory;
    fill(plan, ((kt__function *)self)->function, held, map);
    return Py_BuildValue("NKK", held, (unsigned long long)(uintptr_t)&map->map,
                         (unsigned long long)map->count);
}
