/* Questions about Python objects that are answered without running Python code, so also while a lock is held. */
#ifndef SHARDMAP_OBJECTS_H
#define SHARDMAP_OBJECTS_H

#include "sm_platform.h"

#define SM_EQUAL 1
#define SM_DIFFERENT 0
#define SM_ASK_PYTHON 2 /* only __eq__ can tell */

/* The hash that an exact str keeps in itself, -1 before it is hashed for the first time. */
static inline Py_hash_t sm_str_hash(PyObject *key) { return sm_load_relaxed(&((PyASCIIObject *)key)->hash); }

/* hash(key), -1 with an exception set. A str keeps its hash from the first time on. */
static inline Py_hash_t sm_hash(PyObject *key) {
    if (sm_likely(PyUnicode_CheckExact(key))) {
        Py_hash_t known = sm_str_hash(key);
        if (sm_likely(known != -1)) {
            return known;
        }
    }
    return PyObject_Hash(key);
}

/* Hash an exact str that has not been; false, and nothing has happened, if there is no memory for it. */
static inline int sm_learn_hash(PyObject *key) {
    if (sm_likely(PyObject_Hash(key) != -1)) {
        return 1;
    }
    PyErr_Clear();
    return 0;
}

/* Are these bytes the same? Without a call, so that the functions on the shortest way need no stack frame: words of
eight
 * bytes, the last one overlapping the one before it. */
#define SM_SHORT 64 /* bytes: longer ones are few, and then memcmp is faster */

static inline int sm_differ8(const char *a, const char *b) {
    uint64_t x, y;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return x != y;
}

static inline int sm_differ4(const char *a, const char *b) {
    uint32_t x, y;
    memcpy(&x, a, 4);
    memcpy(&y, b, 4);
    return x != y;
}

static inline int sm_same_short(const char *a, const char *b, size_t n) {
    if (sm_likely(n >= 8)) {
        for (size_t i = 0; i < n - 8; i += 8) {
            if (sm_differ8(a + i, b + i)) {
                return 0;
            }
        }
        return !sm_differ8(a + n - 8, b + n - 8);
    }
    if (n >= 4) {
        return !sm_differ4(a, b) && !sm_differ4(a + n - 4, b + n - 4);
    }
    return n == 0 || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}

/* Both are exactly str and have been hashed, which makes them "ready" on Python 3.11. */
static inline int sm_same_str(PyObject *a, PyObject *b) {
    Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    int kind = PyUnicode_KIND(a);
    if (length != PyUnicode_GET_LENGTH(b) || kind != (int)PyUnicode_KIND(b)) {
        return 0;
    }
    size_t bytes = (size_t)length * (size_t)kind;
    if (sm_likely(bytes <= SM_SHORT)) {
        return sm_same_short(PyUnicode_DATA(a), PyUnicode_DATA(b), bytes);
    }
    return memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), bytes) == 0;
}

/* The same for the shortest way: only ASCII, as nearly all keys are, and not long; else 0, whatever they are. */
static inline int sm_same_short_ascii(PyObject *a, PyObject *b) {
    Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    return length == PyUnicode_GET_LENGTH(b) && length <= SM_SHORT && PyUnicode_IS_COMPACT_ASCII(a) &&
           PyUnicode_IS_COMPACT_ASCII(b) &&
           sm_same_short((const char *)((PyASCIIObject *)a + 1), (const char *)((PyASCIIObject *)b + 1),
           (size_t)length);
}

/* Types whose == is C code on immutable data; two of them of different type are never equal. */
static inline int sm_is_simple(PyTypeObject *type) {
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyBytes_Type;
}

/* Are two objects equal, if that can be said without Python code? Their hashes are known to be equal. */
static int sm_same_simple(PyObject *a, PyObject *b) {
    PyTypeObject *type = Py_TYPE(a);
    if (!sm_is_simple(type) || !sm_is_simple(Py_TYPE(b))) {
        return SM_ASK_PYTHON;
    }
    if (type != Py_TYPE(b)) {
        return SM_DIFFERENT;
    }
    if (type == &PyUnicode_Type) {
        return sm_same_str(a, b);
    }
    if (type == &PyBytes_Type) {
        Py_ssize_t length = PyBytes_GET_SIZE(a);
        return length == PyBytes_GET_SIZE(b) && memcmp(PyBytes_AS_STRING(a), PyBytes_AS_STRING(b), (size_t)length) == 0;
    }
    /* The comparison of two exact ints reads their digits and returns True or False, which nothing can deallocate. */
    PyObject *answer = PyLong_Type.tp_richcompare(a, b, Py_EQ);
    int same = answer == Py_True;
    Py_DECREF(answer);
    return same;
}

/* An exact int; of at most a machine word where it will be added to under a lock that others may wait for. */
static inline int sm_is_small_int(PyObject *value) {
#if SM_FREE_THREADED
    return PyLong_CheckExact(value) && PyUnstable_Long_IsCompact((PyLongObject *)value);
#else
    return PyLong_CheckExact(value);
#endif
}

/* a + b for exact int and float. Of one type, as nearly always, they need not be asked which of them knows how. */
static inline PyObject *sm_add_numbers(PyObject *a, PyObject *b) {
    if (sm_likely(Py_TYPE(a) == Py_TYPE(b))) {
        return Py_TYPE(a)->tp_as_number->nb_add(a, b);
    }
    return PyNumber_Add(a, b);
}

/* Can the object be part of a reference cycle? Known from its type alone. */
static inline int sm_may_cycle(PyObject *object) { return PyType_IS_GC(Py_TYPE(object)); }

/* Hand a reference that we own, or NULL with an exception set, to Cython as the result of a call. */
static inline PyObject *sm_steal(PyObject *object) { return object; }

#endif
