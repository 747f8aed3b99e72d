# cython: language_level=3, binding=False, freethreading_compatible=True
# cython: embedsignature=True, embedsignature.format=clinic
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
#
# shardmap._core: a concurrent hash map for Python objects, and one for bytes in native memory.
#
# One C translation unit, so that the whole path of m[k] can be inlined; one file for each concept, in the order of
# their dependence. A .pxd has a concept's layout and rules, the .pyx of the same name its code.
#
#     platform     what C and CPython give us; locks, vector comparison, questions to objects: include/*.h
#     fnv          the public hash function, and the one that picks a shard
#     hashing      shard, bucket and tag of a key
#     memory       cache lines from the system
#     arena        items of one size behind 32-bit references
#     epoch        when what a reader may have seen can be freed
#     bucket       one cache line of twelve slots; tables of them
#     entry        a key and its word
#     shard        shard, stripes, map
#     sharing      maps that several threads use
#     retire       what was displaced, until it can be released
#     table        the bucket map of a shard: placing, growing, inserting, removing
#     stripes      all shards of a map: making, locking, emptying
#     registry     all maps of the process, for fork
#     probe        the search for one key, and how __eq__ is called without a lock
#     reservation  keys that a callback computes: waiting, waking, deadlock
#     lookaside    where a thread has found a key object before
#     write        the steps of every writer with the lock
#     overwrite    the steps of those without it
#     mapping, conditional, compute, counting, bulk, iteration, wholemap     the operations
#     capture      entries at one instant
#     check        the invariant walker
#     coremap      the Python class
#     collector    garbage collection
#     shortcuts    [], []=, in, get() for the common case, ahead of all that
#
# bytes/ has the byte store, which no Python object is in; it shares the bucket map with the rest:
#
#     siphash      where a key goes that strangers choose
#     heap         native memory of a shard, in blocks of any size
#     record       a key and its value
#     store        shards, their locks
#     change       finding, putting, removing under a lock
#     evict        making room
#     sweep        removing what has expired
#     walk         going through a store
#     operations   what takes several attempts
#     registry     all stores of the process, for fork
#     numbers, check      what there is, and whether it is right
#     xxhash, snapshot, dump, load, frozen     entries in a file: checksum, layout, writing, reading, looking into it
#     recall       what a thread knows of key objects that it has used
#     arguments, view, iteration, bytemap, shortcuts      Python's side: the class, and what it takes and gives
#     drive        operations from native threads, for benchmarks
#
# server/ has the service: event loops that clients of Redis talk to, without the GIL:
#
#     system, settings, client, loop (.pxd)      what there is
#     buffer, parse, reply, words, errors        bytes in, bytes out
#     locking, lookups, strings, modify, keys, deadlines, glob, scan     commands on the store
#     connection, transactions, scripts          commands about the client
#     handover     commands that Python answers
#     slowlog, statistics                        what was seen
#     commands, dispatch, ahead, turn, loop, server     from a socket to a command and back
#     coreserver   the Python class: CoreServer
#     rehearsal    a conversation without a network, for tests

cimport cython

# C variables: as module globals each use would look them up by name, which costs as much as a write to the map.
cdef object operator_add, index, GenericAlias, DeadlockError, MISSING

from operator import add as operator_add, index
from types import GenericAlias

from shardmap.errors import DeadlockError
from shardmap.sentinel import MISSING

include "platform.pxd"
include "fnv.pyx"
include "hashing.pyx"
include "memory.pyx"
include "arena.pxd"
include "arena.pyx"
include "epoch.pxd"
include "bucket.pxd"
include "entry.pxd"
include "shard.pxd"
include "bytes/siphash.pyx"
include "bytes/heap.pxd"
include "bytes/record.pxd"
include "bytes/store.pxd"
include "bytes/heap.pyx"
include "bytes/record.pyx"
include "reservation.pxd"
include "probe.pxd"
include "sharing.pyx"
include "retire.pyx"
include "entry.pyx"
include "table.pyx"
include "stripes.pyx"
include "registry.pyx"
include "probe.pyx"
include "reservation.pyx"
include "lookaside.pyx"
include "write.pyx"
include "overwrite.pyx"
include "mapping.pyx"
include "conditional.pyx"
include "compute.pyx"
include "counting.pyx"
include "capture.pyx"
include "iteration.pyx"
include "bulk.pyx"
include "wholemap.pyx"
include "check.pyx"
include "coremap.pyx"
include "collector.pyx"
include "shortcuts.pyx"
include "bytes/store.pyx"
include "bytes/change.pyx"
include "bytes/evict.pyx"
include "bytes/sweep.pyx"
include "bytes/walk.pyx"
include "bytes/operations.pyx"
include "bytes/registry.pyx"
include "bytes/numbers.pyx"
include "bytes/check.pyx"
include "bytes/arguments.pyx"
include "bytes/recall.pyx"
include "bytes/view.pyx"
include "bytes/bytemap.pyx"
include "bytes/shortcuts.pyx"
include "bytes/iteration.pyx"
include "bytes/xxhash.pyx"
include "bytes/snapshot.pxd"
include "bytes/dump.pyx"
include "bytes/load.pyx"
include "bytes/frozen.pyx"
include "bytes/drive.pyx"
include "server/system.pxd"
include "server/settings.pxd"
include "server/buffer.pyx"
include "server/client.pxd"
include "server/loop.pxd"
include "server/errors.pyx"
include "server/parse.pyx"
include "server/reply.pyx"
include "server/words.pyx"
include "server/client.pyx"
include "server/locking.pyx"
include "server/lookups.pyx"
include "server/strings.pyx"
include "server/modify.pyx"
include "server/keys.pyx"
include "server/deadlines.pyx"
include "server/glob.pyx"
include "server/scan.pyx"
include "server/connection.pyx"
include "server/transactions.pyx"
include "server/scripts.pyx"
include "server/handover.pyx"
include "server/slowlog.pyx"
include "server/commands.pyx"
include "server/dispatch.pyx"
include "server/ahead.pyx"
include "server/turn.pyx"
include "server/loop.pyx"
include "server/server.pyx"
include "server/statistics.pyx"
include "server/coreserver.pyx"
include "server/rehearsal.pyx"
