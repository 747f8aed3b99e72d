/* libFuzzer: guided by what of the compiled core an input reaches, under AddressSanitizer and
 * UndefinedBehaviorSanitizer.
 *
 * The core is linked in, instrumented, as the module shardmap._core of an embedded interpreter. For the target "snapshot"
 * snapshot_target.py asks it about an input, and snapshot_repair.py makes checksums right again after a mutation; the
 * same for the others. guided.py compiles this, with these defined:
 *
 *   TARGET     what is asked about an input: the module TARGET_target
 *   MUTATIONS  what mutates one: the module MUTATIONS_repair
 *   KNOWING    one of so many mutations is that module's, which knows what an input looks like
 */
#include <Python.h>
#include <stdint.h>

PyObject *PyInit__core(void);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static PyObject *one_input, *mutated, *repaired, *make_random;

/* The end, with the traceback, for libFuzzer to write the input down. */
static void give_up(void) {
    PyErr_Print();
    abort();
}

static PyObject *from(const char *module, const char *name) {
    PyObject *found = PyImport_ImportModule(module);
    PyObject *attribute = found == NULL ? NULL : PyObject_GetAttrString(found, name);
    if (attribute == NULL) {
        give_up();
    }
    return attribute;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    if (PyImport_AppendInittab("shardmap._core", PyInit__core) != 0) {
        abort();
    }
    Py_InitializeEx(0);
    one_input = from(TARGET "_target", "one_input");
    mutated = from(MUTATIONS "_repair", "mutated");
    repaired = from(MUTATIONS "_repair", "repaired");
    make_random = from("random", "Random");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* Nothing is copied: what is behind the input is poisoned. */
    PyObject *view = PyMemoryView_FromMemory((char *)data, (Py_ssize_t)size, PyBUF_READ);
    PyObject *outcome = view == NULL ? NULL : PyObject_CallOneArg(one_input, view);
    if (outcome == NULL) {
        give_up();
    }
    Py_DECREF(outcome);
    Py_DECREF(view);
    return 0;
}

/* Some mutations are libFuzzer's, of any bytes, made right where there is something to be made right. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    if (seed % KNOWING != 0 && repaired == Py_None) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    PyObject *rng = PyObject_CallFunction(make_random, "I", seed), *made;
    char *bytes;
    Py_ssize_t made_size;
    if (rng == NULL) {
        give_up();
    }
    if (seed % KNOWING != 0) {
        size = LLVMFuzzerMutate(data, size, max_size);
        PyObject *copy = PyByteArray_FromStringAndSize((const char *)data, (Py_ssize_t)size);
        made = copy == NULL ? NULL : PyObject_CallFunctionObjArgs(repaired, copy, rng, NULL);
        Py_XDECREF(copy);
    } else {
        PyObject *copy = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
        made = copy == NULL ? NULL : PyObject_CallFunctionObjArgs(mutated, copy, copy, rng, NULL);
        Py_XDECREF(copy);
    }
    Py_DECREF(rng);
    if (made == NULL || PyBytes_AsStringAndSize(made, &bytes, &made_size) != 0) {
        give_up();
    }
    if ((size_t)made_size < max_size) {
        max_size = (size_t)made_size;
    }
    memcpy(data, bytes, max_size);
    Py_DECREF(made);
    return max_size;
}
