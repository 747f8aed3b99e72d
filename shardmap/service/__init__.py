"""The service: a byte map that any Redis client speaks to.

The event loops and the commands on data are native code (``CoreServer``); here is what is rare and reads better in
Python, one concept a module:

================= =====================================================================================================
``kinds``         values of settings: how each is read, checked and written
``settings``      every setting once: variable, default, what is allowed, Redis's name
``configuration`` the settings in force, and how they change while the service runs
``parameters``    what CONFIG GET and SET show of them, under Redis's names
``listeners``     TCP and Unix sockets
``descriptors``   room for as many connections as clients are allowed
``server``        ``Server``: start, stop, threads
``calls``         the threads that answer what the core hands over
``state``         what a command or a page may look at
``commands``      these commands, a module for each family
``info``          INFO's sections
``snapshots``     load at the start; save when asked, at intervals and at the end
``sampler``       rates, and the history that the page begins with
``latency``       LATENCY's events
``metrics``       /metrics, through prometheus-client
``http``          /metrics, /healthz, /readyz and the page
``client``        a small client, for the command line
``cli``           the command ``shardmap``, through click
================= =====================================================================================================

``shardmap.Server`` needs nothing but Python; /metrics and the command line need ``shardmap[service]``.
"""
