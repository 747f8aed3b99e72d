# Patterns of KEYS and SCAN: * ? [a-z] [^a] and \ before any of these.
#
# Without recursion: on a mismatch only the last star takes one octet more, since what an earlier one could take the
# last one can too. At most len(text) * len(pattern) steps, whatever a stranger's pattern is.

cdef bint match_class(const char* pattern, size_t size, size_t* at, uint8_t octet) noexcept nogil:
    """At a ``[``: does the class have this octet? `at` is behind the class then."""
    cdef size_t i = at[0] + 1
    cdef bint negated = i < size and pattern[i] == b"^"
    cdef bint found = False
    cdef uint8_t low, high
    if negated:
        i += 1
    while i < size and pattern[i] != b"]":
        if pattern[i] == 92 and i + 1 < size:
            i += 1
            found |= <uint8_t>pattern[i] == octet
        elif i + 2 < size and pattern[i + 1] == b"-":
            low = <uint8_t>pattern[i]
            high = <uint8_t>pattern[i + 2]
            found |= min(low, high) <= octet <= max(low, high)
            i += 2
        else:
            found |= <uint8_t>pattern[i] == octet
        i += 1
    at[0] = i + 1
    return found != negated


cdef bint match_one(Span pattern, size_t* at, uint8_t octet) noexcept nogil:
    """Does the element of the pattern at `at`, which is not a star, match? `at` is behind it then."""
    cdef char element = pattern.data[at[0]]
    if element == b"[":
        return match_class(pattern.data, pattern.size, at, octet)
    if element == 92 and at[0] + 1 < pattern.size:
        at[0] += 1
        element = pattern.data[at[0]]
    elif element == b"?":
        at[0] += 1
        return True
    at[0] += 1
    return <uint8_t>element == octet


cdef bint matches(Span pattern, Span text) noexcept nogil:
    cdef size_t at = 0, i = 0, behind, star = 0, taken = 0
    cdef bint has_star = False
    while i < text.size:
        if at < pattern.size and pattern.data[at] == b"*":
            has_star = True
            at += 1
            star = at
            taken = i
            continue
        behind = at
        if at < pattern.size and match_one(pattern, &behind, <uint8_t>text.data[i]):
            at = behind
            i += 1
        elif has_star:
            taken += 1
            i = taken
            at = star
        else:
            return False
    while at < pattern.size and pattern.data[at] == b"*":
        at += 1
    return at >= pattern.size
