# Native memory in whole cache lines, on a budget if there is a bound.

cdef extern from *:
    """
    #include <sys/mman.h>

    #define SM_LINE 64 /* bytes: a cache line on every x86-64 and on most 64-bit Arm processors */

    /* From 128 KiB on (where glibc's malloc would turn to mmap too) memory comes from the kernel, which clears each
     * page when it is first touched: making a table costs no pause, however large it is, and freeing it gives it back.
     * */
    #define SM_MAP_FROM (128 * 1024)

    static void *sm_lines_raw(size_t bytes) {
        void *lines = NULL;
        if (bytes >= SM_MAP_FROM) {
            lines = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            return lines == MAP_FAILED ? NULL : lines;
        }
        return posix_memalign(&lines, SM_LINE, bytes) == 0 ? lines : NULL;
    }

    static void *sm_lines_new(size_t bytes) {
        void *lines = sm_lines_raw(bytes);
        return lines == NULL || bytes >= SM_MAP_FROM ? lines : memset(lines, 0, bytes);
    }

    /* Have the pages of so many of its bytes at once, for one who is about to write them all: a tenth of a load's time
     * less than a fault for each. A hint, where the system knows it. */
    static void sm_lines_populate(void *lines, size_t bytes) {
    #ifdef MADV_POPULATE_WRITE
        if (bytes >= SM_MAP_FROM) {
            (void)madvise(lines, bytes, MADV_POPULATE_WRITE);
        }
    #else
        (void)lines, (void)bytes;
    #endif
    }

    static void sm_lines_free(void *lines, size_t bytes) {
        if (lines != NULL && bytes >= SM_MAP_FROM) {
            munmap(lines, bytes);
        } else {
            free(lines);
        }
    }
    """
    # NULL when there is no memory; `bytes` is a multiple of 64. What `new` makes is zeroed; `raw` leaves it undefined,
    # and does not touch pages that may never be used.
    void* lines_raw "sm_lines_raw"(size_t bytes) noexcept nogil
    void* lines_new "sm_lines_new"(size_t bytes) noexcept nogil
    void lines_populate "sm_lines_populate"(void* lines, size_t bytes) noexcept nogil
    void lines_free "sm_lines_free"(void* lines, size_t bytes) noexcept nogil


# -- budgets -----------------------------------------------------------------------------------------------------------

cdef extern from *:
    """
    typedef struct {
        uint64_t taken; /* bytes */
        uint64_t limit; /* 0: none */
    } sm_budget;

    static inline uint64_t sm_budget_taken(sm_budget *budget) {
        return __atomic_load_n(&budget->taken, __ATOMIC_RELAXED);
    }

    /* Take so many bytes if as many as `rest` are left then; without a budget everybody may take everything. */
    static int sm_budget_take(sm_budget *budget, size_t bytes, uint64_t rest) {
        if (budget == NULL) {
            return 1;
        }
        uint64_t limit = __atomic_load_n(&budget->limit, __ATOMIC_RELAXED);
        uint64_t taken = sm_budget_taken(budget);
        do {
            if (limit != 0 && (taken > limit || limit - taken < bytes || limit - taken - bytes < rest)) {
                return 0;
            }
        } while (!__atomic_compare_exchange_n(&budget->taken, &taken, taken + bytes, 1, __ATOMIC_RELAXED,
                                              __ATOMIC_RELAXED));
        return 1;
    }

    static void sm_budget_give(sm_budget *budget, size_t bytes) {
        if (budget != NULL) {
            __atomic_sub_fetch(&budget->taken, bytes, __ATOMIC_RELAXED);
        }
    }
    """
    # What all tables and entries of a store together may take; NULL for a store without a bound. Threads share it
    # without a lock, on all builds.
    ctypedef struct Budget "sm_budget":
        uint64_t taken
        uint64_t limit
    uint64_t budget_taken "sm_budget_taken"(Budget* budget) noexcept nogil
    bint budget_take "sm_budget_take"(Budget* budget, size_t bytes, uint64_t rest) noexcept nogil
    void budget_give "sm_budget_give"(Budget* budget, size_t bytes) noexcept nogil


cdef inline void* lines_within(Budget* budget, size_t bytes, uint64_t rest) noexcept nogil:
    """As lines_raw, on this budget, of which as much as `rest` is to be left."""
    cdef void* lines
    if not budget_take(budget, bytes, rest):
        return NULL
    lines = lines_raw(bytes)
    if lines is NULL:
        budget_give(budget, bytes)
    return lines


cdef inline void lines_return(Budget* budget, void* lines, size_t bytes) noexcept nogil:
    """Free what lines_within has made."""
    lines_free(lines, bytes)
    budget_give(budget, bytes)
