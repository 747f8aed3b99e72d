"""The demonstration: index a tree of source files with many threads, then check every total.

``python -m shardmap.demo [DIR ...]`` (``--help`` tells the rest). It is also the example to read: :mod:`.index` is the
part that uses the maps, and needs no lock; the rest surrounds it.

================  ====================================================================================================
``index``         the five maps that all threads write to, and how one file gets into them
``threads``       the threads that take files from a queue, until it is empty or one of them fails
``interrupts``    Ctrl-C, without leaving a lock locked
``sources``       finding, reading and decoding source files
``tally``         files, lines and bytes, added up
``reference``     the same job with one thread, ``dict`` and ``Counter``: what the maps must equal
``check``         the comparison
``progress``      one line that moves on a terminal, calm lines elsewhere
``report``        what is printed in the end
``cli``           options, the order of things, exit codes
================  ====================================================================================================
"""
