# Reservation: a key whose next value a callback is computing.
#
# compute, compute_if_absent, compute_if_present, merge and add (on other than exact int and float) reserve their key,
# run the callback with nothing locked, and publish the result. While the RESERVED mark is in the entry's word, readers
# see the old value (none, for a key that is reserved while absent) and writers of the key wait here. Exactly one thread
# owns a reservation, so the callback runs exactly once.
#
# Waiting. Each waiter brings a lock of Python's own and sleeps on it, detached from the interpreter, interruptible by
# signals. Whoever ends the reservation wakes all waiters, and they start their operation anew.
#
# Deadlock. "Waits for the owner of" is a graph of threads: before a thread sleeps, it follows the edges from the owner;
# if they lead back to itself, sleeping would close a circle, and it raises DeadlockError instead. A thread has one edge
# out of it, and more only while a signal handler or a finalizer that interrupted its sleep waits too; it needs all of
# them to end, so all are followed. One graph for all maps, under one lock, because a circle
# may lead through several maps. An edge disappears when its waiter is woken, not when it gets to run: an edge to
# somebody who has finished would report circles that are none.
#
# Lock order: stripe, then graph. Reservations and waiters are linked and unlinked under the stripe lock.

cdef struct Waiter:
    PyThread_type_lock bell     # held while the reservation lasts
    unsigned long thread
    unsigned long owner         # of the reservation: the edge thread -> owner
    bint waits                  # linked in the reservation and in the graph
    Waiter* next                # of the same reservation
    Waiter* graph_previous
    Waiter* graph_next

cdef struct Reservation:
    uint32_t ref                # the entry; changes if shrink() packs the entries anew
    uint32_t new_ref            # what it is about to change to
    unsigned long owner
    bint cancelled              # clear() removed the entry: the result is returned and not stored
    bint abandoned              # fork left its owner behind in the parent: void
    Waiter* waiters
    Reservation* next           # of the same shard
