# Native memory in whole cache lines.

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
    void lines_free "sm_lines_free"(void* lines, size_t bytes) noexcept nogil
