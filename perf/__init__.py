"""Benchmarks of shardmap against its peers. How they measure, and what to make of the figures: ``perf/README.md``.

Those to run are ``python -m perf.bench``, ``.threads``, ``.scaling``, ``.bulk``, ``.pause``, ``.pause_threads``,
``.memory`` and ``.callgrind``, each with its own ``--help``; ``python -m perf`` runs all but the last, which needs
valgrind.
"""
