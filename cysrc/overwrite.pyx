# Overwrite: give a present key another value without its shard's lock.
#
#   1. locate_to_overwrite: FOUND with the thread pinned as a writer, and the entry's word as it was, settled.
#   2. change_word, from that word to another value, as often as it takes; the value that goes is displaced.
#   3. finish_overwriting; or end_overwriting, and the operation goes on by other ways.
#
# Compare-and-exchange from a settled word never overwrites a mark, so a deleted, moved or reserved entry is left alone
# and the operation starts again with the lock. With the GIL there is nothing to win: everything goes by the "lock".

cdef inline int locate_to_overwrite(Probe* probe, size_t* word) except -1:
    """FOUND; or ABSENT, with nothing pinned: the lock has to be taken to know."""
    cdef int answer
    if not SM_FREE_THREADED:
        return ABSENT
    probe.pinned = probe.overwriting = True
    answer = locate_holding(probe)
    if likely(answer == FOUND and probe.pinned):
        word[0] = word_of(probe.entry)
        if likely(is_settled(word[0])):
            return FOUND
    let_go(probe)
    probe.rescan = True
    return ABSENT


cdef inline bint change_word(Shard* shard, Entry* entry, size_t* word, PyObject* value) noexcept nogil:
    """Pinned as a writer, or with the lock: put a value in the place of the one in the settled word. False, with
    nothing changed and `word` brought up to date, if the entry has another word by now."""
    adopt_value(shard, value)
    if likely(compare_exchange(&entry.word, word, <size_t>value)):
        return True
    disown_value(value)
    return False


cdef inline bint set_word(Map* map, Entry* entry, size_t* word, PyObject* value) noexcept nogil:
    """Pinned as a writer: as change_word, with a reference of the caller's for the entry."""
    if is_alone(map):
        # Nobody else changes words: an ordinary store will do.
        store_word(&entry.word, <size_t>value)
        return True
    return likely(compare_exchange(&entry.word, word, <size_t>value))


cdef inline void disown_value(PyObject* value) noexcept nogil:
    """Undo adopt_value; the caller has a reference of its own, so nothing is deallocated."""
    decref_alive(value)


cdef inline bint overwrite_word(Shard* shard, Entry* entry, size_t* word, PyObject* value) noexcept nogil:
    """As change_word, whatever value is there. False: the word has a mark."""
    while likely(is_settled(word[0])):
        # The same again: nothing needs to be written.
        if word[0] == <size_t>value or change_word(shard, entry, word, value):
            return True
    return False


cdef inline PyObject* displaced_by(size_t word, PyObject* value) noexcept nogil:
    """After overwrite_word: the value that it displaced, or NULL if it was the same."""
    return <PyObject*>word if word != <size_t>value else NULL


cdef inline void end_overwriting(Probe* probe) noexcept nogil:
    unpin()
    probe.rescan = True


cdef inline void finish_overwriting(Probe* probe, PyObject* displaced) noexcept:
    """The last steps of an operation that has displaced a value, or none."""
    displaced = displace(probe.map, displaced)
    unpin()
    xdecref(displaced)
    probe_end(probe)
