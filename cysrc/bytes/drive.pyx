# Driving a store from native threads, for benchmarks and stress: what the service's threads do, without the service.

cdef enum:
    # Of a key: "key:" and twelve digits, as redis-benchmark makes them.
    DRIVEN_KEY = 16
    DRIVEN_VALUE = 64                   # bytes


cdef inline void make_driven_key(char* at, uint64_t number) noexcept nogil:
    cdef int i
    memcpy(at, b"key:", 4)
    for i in range(DRIVEN_KEY - 1, 3, -1):
        at[i] = <char>(48 + number % 10)
        number //= 10


cdef struct Driver:
    ByteStore* store
    uint64_t seed
    uint64_t keys
    uint64_t writes                     # of a hundred operations
    char names[IN_FLIGHT][DRIVEN_KEY]
    char value[DRIVEN_VALUE]
    Spot spots[IN_FLIGHT]
    bint is_write[IN_FLIGHT]


cdef void draw_batch(Driver* driver, int n) noexcept nogil:
    cdef uint64_t number
    cdef Span key
    cdef int i
    for i in range(n):
        number = splitmix(&driver.seed)
        make_driven_key(driver.names[i], (number >> 32) % driver.keys)
        driver.is_write[i] = <uint32_t>number % 100 < driver.writes
        key.data = driver.names[i]
        key.size = DRIVEN_KEY
        spot_for(&driver.spots[i], driver.store, key)


cdef bint drive_get(Driver* driver, Spot* spot) noexcept nogil:
    cdef bint found
    lock_spot(spot)
    found = find_to_read(spot)
    if found:
        memcpy(driver.value, value_span(spot.record).data, min(<uint32_t>DRIVEN_VALUE, spot.record.value_size))
    unlock_spot(spot)
    return found


cdef bint drive_set(Driver* driver, Spot* spot) noexcept nogil:
    cdef Write write
    memset(&write, 0, sizeof(write))
    write.draft.key = spot.key
    write.draft.value.data = driver.value
    write.draft.value.size = DRIVEN_VALUE
    return write_record(&write, driver.store) == DONE


cdef uint64_t drive(Driver* driver, uint64_t operations) noexcept nogil:
    """In batches, as pipelined commands come; how many were found or stored."""
    cdef uint64_t done = 0
    cdef int i, n
    memset(driver.value, 0x76, DRIVEN_VALUE)
    while operations:
        n = <int>min(<uint64_t>IN_FLIGHT, operations)
        draw_batch(driver, n)
        prefetch_spots(driver.spots, n)
        for i in range(n):
            if driver.is_write[i]:
                done += drive_set(driver, &driver.spots[i])
            else:
                done += drive_get(driver, &driver.spots[i])
        operations -= n
    return done


def _drive(CoreByteMap owner not None, uint64_t keys, uint64_t operations, uint64_t writes, uint64_t seed, /):
    """For benchmarks: so many operations on random keys ``key:000000000000`` and on, *writes* of a hundred setting 64
    bytes, the others looking up, all without the GIL. Returns how many found their key, or stored."""
    cdef Driver driver
    cdef uint64_t done
    if keys == 0:
        raise ValueError("keys=0: allowed is 1 or more")
    driver.store = opened(owner)
    driver.keys = keys
    driver.writes = writes
    driver.seed = seed
    with nogil:
        done = drive(&driver, operations)
    return done
