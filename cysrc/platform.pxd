# The C that Cython has no words for (cysrc/include), and the parts of CPython's API that take plain pointers.
#
# Conventions of the whole core
#   PyObject*      a pointer whose ownership a comment states; `object` only where Python code may run
#   noexcept nogil runs no Python code, allocates no Python object, drops no reference: allowed while a lock is held
#   -1             an exception is set, wherever a function is declared `except -1`

from libc.math cimport ceil
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

cdef extern from "sm_platform.h" nogil:
    bint SM_FREE_THREADED
    void SM_ASSERT(bint condition)
    bint likely "sm_likely"(bint condition)
    bint unlikely "sm_unlikely"(bint condition)
    void prefetch "sm_prefetch"(const void* address)
    void touch "sm_touch"(uint32_t* word)
    uint64_t multiply_fold "sm_multiply_fold"(uint64_t a, uint64_t b)
    uint32_t count_trailing_zeros "__builtin_ctz"(uint32_t bits)
    uint32_t count_bits "__builtin_popcount"(uint32_t bits)
    uint32_t count_leading_zeros "__builtin_clz"(uint32_t bits)
    uint64_t little_endian "sm_little_endian"(uint64_t word)
    uint64_t next_number "sm_next"(uint64_t* counter)
    int64_t load_count "sm_load_relaxed"(int64_t* address)
    uint32_t load_number "sm_load_relaxed"(uint32_t* address)
    void store_number "sm_store_relaxed"(uint32_t* address, uint32_t value)
    void store_byte "sm_store_relaxed"(uint8_t* address, uint8_t value)
    uint8_t load_byte "sm_load_relaxed"(uint8_t* address)
    uint32_t load_ref "sm_load_acquire"(uint32_t* address)
    void store_ref "sm_store_release"(uint32_t* address, uint32_t ref)
    size_t load_word "sm_load_acquire"(size_t* address)
    void store_word "sm_store_release"(size_t* address, size_t word)
    size_t exchange_word "sm_exchange"(size_t* address, size_t word)
    size_t fetch_or "sm_fetch_or"(size_t* address, size_t bits)
    bint compare_exchange "sm_compare_exchange"(size_t* address, size_t* seen, size_t word)
    char** load_directory "sm_load_acquire"(char*** address)
    void store_directory "sm_store_release"(char*** address, char** directory)
    Py_hash_t load_hash "sm_load_relaxed"(Py_hash_t* address)
    PyObject* load_object "sm_load_acquire"(PyObject** address)
    void store_object "sm_store_release"(PyObject** address, PyObject* thing)
    uint64_t load_version "sm_load_acquire"(uint64_t* address)
    void store_version "sm_store_release"(uint64_t* address, uint64_t version)
    uint64_t load_stamp "sm_load_acquire"(uint64_t* address)
    void store_stamp "sm_store_release"(uint64_t* address, uint64_t value)
    void store_count "sm_store_relaxed"(int64_t* address, int64_t value)

cdef extern from "sm_lock.h" nogil:
    ctypedef uint8_t Lock "sm_lock_t"
    void lock "sm_lock"(Lock* lock)
    void lock_attached "sm_lock_attached"(Lock* lock)
    void race_window "sm_window"()
    void wait_a_little "sm_wait"(int round)
    void unlock "sm_unlock"(Lock* lock)
    void lock_bytes "sm_lock_bytes"(Lock* lock)
    void lock_bytes_attached "sm_lock_bytes_attached"(Lock* lock)
    bint try_lock_bytes "sm_try_lock"(Lock* lock)
    void unlock_bytes "sm_unlock_bytes"(Lock* lock)

cdef extern from "sm_match.h" nogil:
    enum: SLOTS "SM_SLOTS"
    enum: ALL_SLOTS "SM_ALL_SLOTS"
    uint32_t match_tags "sm_match"(const void* bucket, uint8_t tag)
    void store_tag "sm_store_tag"(uint8_t* address, uint8_t tag)

cdef extern from "sm_objects.h":
    enum:
        EQUAL "SM_EQUAL"
        DIFFERENT "SM_DIFFERENT"
        ASK_PYTHON "SM_ASK_PYTHON"
    Py_hash_t hash_of "sm_hash"(PyObject* key) except -1
    Py_hash_t str_hash "sm_str_hash"(PyObject* key) nogil
    bint learn_hash "sm_learn_hash"(PyObject* key) nogil
    bint same_short_ascii "sm_same_short_ascii"(PyObject* a, PyObject* b) nogil
    bint same_str "sm_same_str"(PyObject* a, PyObject* b) nogil
    bint same_short "sm_same_short"(const char* a, const char* b, size_t size) nogil
    enum: SHORT "SM_SHORT"
    int same_simple "sm_same_simple"(PyObject* a, PyObject* b) nogil
    bint is_small_int "sm_is_small_int"(PyObject* value) nogil
    PyObject* add_numbers "sm_add_numbers"(PyObject* a, PyObject* b)
    bint may_cycle "sm_may_cycle"(PyObject* thing) nogil
    object steal "sm_steal"(PyObject* owned)

cdef extern from "Python.h":
    ctypedef struct PyObject
    ctypedef int (*visitproc)(PyObject* thing, void* arg) noexcept
    ctypedef int (*traverseproc)(PyObject* self, visitproc visit, void* arg) noexcept
    ctypedef int (*inquiry)(PyObject* self) noexcept
    ctypedef PyObject* (*binaryfunc)(PyObject* a, PyObject* b) noexcept
    ctypedef int (*objobjproc)(PyObject* a, PyObject* b) noexcept
    ctypedef int (*objobjargproc)(PyObject* a, PyObject* b, PyObject* c) noexcept
    ctypedef struct PyMappingMethods:
        binaryfunc mp_subscript
        objobjargproc mp_ass_subscript
    ctypedef struct PySequenceMethods:
        objobjproc sq_contains
    ctypedef struct PyTypeObject:
        traverseproc tp_traverse
        inquiry tp_clear
        PyMappingMethods* tp_as_mapping
        PySequenceMethods* tp_as_sequence
    enum:
        METH_FASTCALL
        METH_KEYWORDS
    ctypedef struct PyMethodDef:
        const char* ml_name
        void* ml_meth
        int ml_flags
        const char* ml_doc
    ctypedef struct PyMethodDescrObject:
        PyMethodDef* d_method
    ctypedef struct PyWrapperDescrObject:
        void* d_wrapped
    PyObject* PyLong_FromLong(long value)
    object PyDescr_NewMethod(PyTypeObject* type, PyMethodDef* method)
    ctypedef void* PyThread_type_lock
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
        PY_LOCK_INTR
    enum:
        Py_EQ
        WAIT_LOCK
        NOWAIT_LOCK
    # Allowed while a lock is held: taking a reference runs nothing. Dropping one is not: it may run __del__.
    void incref "Py_INCREF"(PyObject* thing) noexcept nogil
    void decref "Py_DECREF"(PyObject* thing) noexcept
    # For an object to which there is another reference, so that dropping this one runs nothing.
    void decref_alive "Py_DECREF"(PyObject* thing) noexcept nogil
    void xdecref "Py_XDECREF"(PyObject* thing) noexcept
    bint is_str "PyUnicode_CheckExact"(PyObject* thing) noexcept nogil
    bint is_int "PyLong_CheckExact"(PyObject* thing) noexcept nogil
    bint is_bytes "PyBytes_CheckExact"(PyObject* thing) noexcept nogil
    bint is_float "PyFloat_CheckExact"(PyObject* thing) noexcept nogil
    int rich_compare_bool "PyObject_RichCompareBool"(PyObject* a, PyObject* b, int op) except -1
    unsigned long this_thread "PyThread_get_thread_ident"() noexcept nogil
    PyThread_type_lock PyThread_allocate_lock() noexcept nogil
    void PyThread_free_lock(PyThread_type_lock lock) noexcept nogil
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait) noexcept nogil
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock lock, long long microseconds, int intr_flag) noexcept nogil
    void PyThread_release_lock(PyThread_type_lock lock) noexcept nogil
    int fill_buffer "PyBuffer_FillInfo"(
        Py_buffer* buffer, PyObject* owner, void* data, Py_ssize_t size, int readonly, int flags) except -1
    int PyErr_CheckSignals() except -1
    PyObject* PyErr_NoMemory()
    PyObject* PyErr_Occurred()
    object PyList_New(Py_ssize_t length)
    void PyList_SET_ITEM(object items, Py_ssize_t index, PyObject* stolen)
