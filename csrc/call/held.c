/* What the arguments of calls point into, as one Python object: for a call, or for a column of many calls. */
#include "call/call.h"

void kt__release(struct kt__keep *keep)
{
    while (keep->count > 0) {
        keep->count--;
        PyBuffer_Release(&keep->views[keep->count]);
    }
    Py_CLEAR(keep->list);
}

kt__held *kt__held_new(struct kt__module *module, PyObject *args, Py_ssize_t room)
{
    kt__held *held = (kt__held *)PyType_GenericAlloc(module->held, room);
    if (held) {
        held->args = Py_XNewRef(args);
        held->keep.views = room ? held->views : NULL;
        held->keep.room = room;
    }
    return held;
}

/* How many views take as much room as this. */
static Py_ssize_t views_for(size_t size)
{
    return (Py_ssize_t)((size + sizeof(Py_buffer) - 1) / sizeof(Py_buffer));
}

kt__held *kt__hold(const kt__plan *plan, PyObject *args, Py_ssize_t room, size_t size, void **after)
{
    Py_ssize_t after_at = room + views_for(plan->more_count * sizeof(uint64_t));
    kt__held *held = kt__held_new(plan->module, args, after_at + views_for(size));
    if (held) {
        held->more = (uint64_t *)&held->views[room];
        *after = held->memory = &held->views[after_at];
    }
    return held;
}

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    kt__held *held = (kt__held *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(held->args);
    Py_VISIT(held->keep.list);
    for (Py_ssize_t i = 0; i < held->keep.count; i++) {
        Py_VISIT(held->keep.views[i].obj);
    }
    return 0;
}

static int clear(PyObject *self)
{
    kt__held *held = (kt__held *)self;
    kt__release(&held->keep);
    Py_CLEAR(held->args);
    return 0;
}

static void dealloc(PyObject *self)
{
    kt__held *held = (kt__held *)self;
    PyObject_GC_UnTrack(self);
    clear(self);
    if (held->keep.views != held->views) {
        PyMem_Free(held->keep.views);
    }
    PyMem_Free(held->words);
    kt__free(self);
}

static PyObject *release(PyObject *self, PyObject *nothing)
{
    (void)nothing;
#ifdef Py_GIL_DISABLED
    Py_BEGIN_CRITICAL_SECTION(self);
    clear(self);
    Py_END_CRITICAL_SECTION();
#else
    clear(self);
#endif
    return Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    {"release", release, METH_NOARGS,
     "release()\n--\n\nReleases what the arguments point to. The memory of a task stays."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"items", Py_T_ULONGLONG, offsetof(kt__held, items), Py_READONLY, "the address of a column's first item"},
    {"stride", Py_T_LONGLONG, offsetof(kt__held, stride), Py_READONLY, "bytes from one item to the next"},
    {"item", Py_T_INT, offsetof(kt__held, item), Py_READONLY, "the enum kt_item of a column"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "What arguments point into: alive, and buffers locked, as long as this object, or until `release`."},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {0, NULL},
};

PyType_Spec kt__held_spec = {
    .name = "kthreads._call.Held",
    .basicsize = sizeof(kt__held),
    .itemsize = sizeof(Py_buffer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
