"""INFO: sections of ``name:value`` lines, with the names that Redis uses and that monitors read.

``SECTIONS`` has a function for each, from the state to its fields. ``render`` makes the text. Numbers that the service
has no counterpart for (forks, scripts, replication) are the ones that an idle Redis of one machine shows.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping

from shardmap.service.state import State, resident_memory

__all__ = ["REDIS_VERSION", "SECTIONS", "chosen", "human", "render"]

#: What clients take the service for: its commands and replies are this version's.
REDIS_VERSION = "7.2.4"

Value = str | int | float
Fields = dict[str, Value]


def server(state: State) -> Fields:
    """Who it is."""
    from shardmap import __version__  # noqa: PLC0415  # The package imports this when it is whole.

    now = time.time()
    system = platform.uname()
    return {
        "redis_version": REDIS_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0",
        "redis_mode": "standalone",
        "shardmap_version": __version__,
        "os": f"{system.system} {system.release} {system.machine}",
        "arch_bits": 64 if sys.maxsize > 1 << 32 else 32,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "epoll",
        "python_version": platform.python_version(),
        "process_id": os.getpid(),
        "process_supervised": "no",
        "run_id": state.run_id,
        "tcp_port": state.port or 0,
        "server_time_usec": int(now * 1e6),
        "uptime_in_seconds": int(state.uptime),
        "uptime_in_days": int(state.uptime // 86400),
        "hz": 1,
        "configured_hz": 1,
        "io_threads_active": int(state.threads > 1),
        "io_threads": state.threads,
        "executable": sys.executable,
        "config_file": "",
        **{f"listener{n}": f"name={_listener(each)}" for n, each in enumerate(state.addresses)},
    }


def _listener(address: str) -> str:
    if address.startswith("/") or ":" not in address:
        return f"unix,bind={address}"
    host, _, port = address.rpartition(":")
    return f"tcp,bind={host.strip('[]')},port={port}"


def clients(state: State) -> Fields:
    """Connections."""
    statistics = state.core.statistics()
    connected = state.core.clients()
    return {
        "connected_clients": statistics["clients"],
        "cluster_connections": 0,
        "maxclients": state.settings.max_clients,
        "client_recent_max_input_buffer": max((each["qbuf"] for each in connected), default=0),
        "client_recent_max_output_buffer": max((each["omem"] for each in connected), default=0),
        "blocked_clients": statistics["blocked"],
        "tracking_clients": 0,
        "clients_in_timeout_table": 0,
        "total_blocking_keys": 0,
        "watching_clients": sum(1 for each in connected if each["watch"]),
    }


def memory(state: State) -> Fields:
    """Where memory goes. ``used_memory`` is what ``maxmemory`` bounds: all that the map has from the system."""
    found = state.byte_map.memory()
    resident = resident_memory()
    peak = max(state.sampler.peak_memory, found.reserved)
    total = _system_memory()
    fields: Fields = {}
    for name, size in {
        "used_memory": found.reserved,
        "used_memory_rss": resident,
        "used_memory_peak": peak,
    }.items():
        fields[name] = size
        fields[name + "_human"] = human(size)
    fields.update(
        {
            "used_memory_peak_perc": f"{100 * found.reserved / peak:.2f}%",
            "used_memory_overhead": found.used + found.tables - found.content,
            "used_memory_startup": 0,
            "used_memory_dataset": found.content,
            "used_memory_dataset_perc": f"{100 * found.content / found.reserved:.2f}%",
            "allocator_allocated": found.used + found.tables,
            "allocator_active": found.reserved - found.free,
            "allocator_resident": found.reserved,
            "total_system_memory": total,
            "total_system_memory_human": human(total),
            "used_memory_lua": 0,
            "used_memory_vm_eval": 0,
            "used_memory_scripts_eval": 0,
            "number_of_cached_scripts": 0,
            "number_of_functions": 0,
            "maxmemory": state.settings.max_memory,
            "maxmemory_human": human(state.settings.max_memory),
            "maxmemory_policy": state.settings.eviction,
            "allocator_frag_ratio": f"{1 + found.fragmentation:.2f}",
            "allocator_frag_bytes": int(found.fragmentation * found.reserved),
            "allocator_rss_ratio": "1.00",
            "allocator_rss_bytes": 0,
            # Of the map's memory: the process may have an application in it.
            "mem_fragmentation_ratio": f"{1 / (1 - min(found.fragmentation, 0.99)):.2f}",
            "mem_fragmentation_bytes": int(found.fragmentation * found.reserved),
            "mem_not_counted_for_evict": 0,
            "mem_replication_backlog": 0,
            "mem_clients_slaves": 0,
            "mem_clients_normal": sum(each["qbuf"] + each["omem"] for each in state.core.clients()),
            "mem_cluster_links": 0,
            "mem_aof_buffer": 0,
            "mem_allocator": "shardmap",
            "active_defrag_running": 0,
            "lazyfree_pending_objects": state.byte_map.stats().get("kept", 0),
            "lazyfreed_objects": 0,
        }
    )
    return fields


def _system_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def persistence(state: State) -> Fields:
    """Snapshots."""
    snapshots = state.snapshots
    return {
        "loading": int(state.loading),
        "async_loading": 0,
        "current_cow_peak": 0,
        "current_cow_size": 0,
        "rdb_changes_since_last_save": snapshots.changes_since,
        "rdb_bgsave_in_progress": int(snapshots.in_progress),
        "rdb_last_save_time": int(snapshots.last_save),
        "rdb_last_bgsave_status": "err" if snapshots.last_error else "ok",
        "rdb_last_bgsave_time_sec": int(snapshots.last_seconds),
        "rdb_current_bgsave_time_sec": int(snapshots.seconds_in_progress),
        "rdb_saves": snapshots.saves,
        "rdb_last_cow_size": 0,
        "rdb_last_load_keys_expired": 0,
        "rdb_last_load_keys_loaded": snapshots.entries_loaded,
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
        "aof_rewrite_scheduled": 0,
        "aof_last_rewrite_time_sec": -1,
        "aof_current_rewrite_time_sec": -1,
        "aof_last_bgrewrite_status": "ok",
        "aof_last_write_status": "ok",
        "snapshot_last_error": _printable(snapshots.last_error or ""),
    }


def stats(state: State) -> Fields:
    """What happened since the start, or since CONFIG RESETSTAT."""
    statistics = state.core.statistics()
    totals = state.totals()
    return {
        "total_connections_received": statistics["connections_received"],
        "total_commands_processed": statistics["commands"],
        "instantaneous_ops_per_sec": round(state.sampler.rate("commands")),
        "total_net_input_bytes": statistics["net_input_bytes"],
        "total_net_output_bytes": statistics["net_output_bytes"],
        "total_net_repl_input_bytes": 0,
        "total_net_repl_output_bytes": 0,
        "instantaneous_input_kbps": f"{state.sampler.rate('input_bytes') / 1024:.2f}",
        "instantaneous_output_kbps": f"{state.sampler.rate('output_bytes') / 1024:.2f}",
        "rejected_connections": statistics["connections_rejected"],
        "sync_full": 0,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "expired_keys": totals.expired,
        "expired_stale_perc": "0.00",
        "expired_time_cap_reached_count": 0,
        "evicted_keys": totals.evicted,
        "evicted_clients": statistics["output_limit_disconnections"] + statistics["query_limit_disconnections"],
        "total_eviction_exceeded_time": 0,
        "current_eviction_exceeded_time": 0,
        "keyspace_hits": totals.hits,
        "keyspace_misses": totals.misses,
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "latest_fork_usec": 0,
        "total_forks": 0,
        "migrate_cached_sockets": 0,
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "tracking_total_keys": 0,
        "tracking_total_items": 0,
        "tracking_total_prefixes": 0,
        "unexpected_error_replies": 0,
        "total_error_replies": statistics["errors"],
        "dump_payload_sanitizations": 0,
        "acl_access_denied_auth": statistics["auth_failures"],
        "client_query_buffer_limit_disconnections": statistics["query_limit_disconnections"],
        "client_output_buffer_limit_disconnections": statistics["output_limit_disconnections"],
        "client_timeout_disconnections": statistics["timeouts"],
        "protocol_errors": statistics["protocol_errors"],
        "slow_commands": statistics["slow_commands"],
        "transactions": statistics["transactions"],
        "transactions_aborted": statistics["transactions_aborted"],
        "lock_contentions": totals.contended,
    }


def replication(_: State) -> Fields:
    """It has no replicas."""
    return {
        "role": "master",
        "connected_slaves": 0,
        "master_failover_state": "no-failover",
        "master_replid": "0" * 40,
        "master_replid2": "0" * 40,
        "master_repl_offset": 0,
        "second_repl_offset": -1,
        "repl_backlog_active": 0,
        "repl_backlog_size": 0,
        "repl_backlog_first_byte_offset": 0,
        "repl_backlog_histlen": 0,
    }


def cpu(_: State) -> Fields:
    """Processor time, of the whole process."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "used_cpu_sys": f"{own.ru_stime:.6f}",
        "used_cpu_user": f"{own.ru_utime:.6f}",
        "used_cpu_sys_children": f"{children.ru_stime:.6f}",
        "used_cpu_user_children": f"{children.ru_utime:.6f}",
    }


def commandstats(state: State) -> Fields:
    """How often each command was called, and its time."""
    return {
        f"cmdstat_{each.name}": (
            f"calls={each.calls},usec={each.microseconds},"
            f"usec_per_call={each.microseconds / each.calls if each.calls else 0:.2f},"
            f"rejected_calls={each.rejected},failed_calls={each.failed}"
        )
        for each in state.commands()
    }


def latencystats(state: State) -> Fields:
    """The time that most calls of each command stayed below."""
    return {
        f"latency_percentiles_usec_{each.name}": ",".join(
            f"p{label}={each.percentile(share):.3f}" for label, share in (("50", 0.5), ("99", 0.99), ("99.9", 0.999))
        )
        for each in state.commands()
        if each.calls
    }


def errorstats(state: State) -> Fields:
    """How often each kind of error was the reply."""
    errors = sorted(state.core.error_statistics().items())
    return {f"errorstat_{name}": f"count={number}" for name, number in errors if number}


def cluster(_: State) -> Fields:
    """It is none."""
    return {"cluster_enabled": 0}


def keyspace(state: State) -> Fields:
    """The one database, unless it is empty."""
    entries = len(state.byte_map)
    expires = state.byte_map.stats()["deadlines"]
    return {"db0": f"keys={entries},expires={expires},avg_ttl=0"} if entries else {}


#: In the order in which Redis has them.
SECTIONS: Mapping[str, Callable[[State], Fields]] = {
    "server": server,
    "clients": clients,
    "memory": memory,
    "persistence": persistence,
    "stats": stats,
    "replication": replication,
    "cpu": cpu,
    "commandstats": commandstats,
    "latencystats": latencystats,
    "errorstats": errorstats,
    "cluster": cluster,
    "keyspace": keyspace,
}
_TITLES = {"cpu": "CPU"}
_BY_DEFAULT = [name for name in SECTIONS if name not in ("commandstats", "latencystats")]


def chosen(names: Iterable[str]) -> list[str]:
    """The sections that these names ask for, in order; unknown ones stand for none."""
    wanted: set[str] = set()
    asked = [name.lower() for name in names] or ["default"]
    for name in asked:
        if name in ("all", "everything"):
            wanted.update(SECTIONS)
        elif name == "default":
            wanted.update(_BY_DEFAULT)
        else:
            wanted.add(name)
    return [name for name in SECTIONS if name in wanted]


def render(state: State, sections: Iterable[str]) -> str:
    """INFO's text."""
    parts = []
    for name in sections:
        lines = [f"# {_TITLES.get(name, name.capitalize())}"]
        lines += [f"{field}:{value}" for field, value in SECTIONS[name](state).items()]
        parts.append("\r\n".join(lines) + "\r\n")
    return "\r\n".join(parts)


def human(size: int) -> str:
    """Bytes as Redis shows them to people."""
    if size < 1024:
        return f"{size}B"
    value = float(size)
    for unit in "KMGT":
        value /= 1024
        if value < 1024 or unit == "T":
            break
    return f"{value:.2f}{unit}"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
