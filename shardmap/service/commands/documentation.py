"""What COMMAND DOCS says: group, first version in Redis, and a line about each command."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DOCUMENTATION"]

_LINES = """\
append|string|2.0.0|Appends a string to the value of a key. Creates the key if it doesn't exist.
asking|cluster|3.0.0|Signals that a cluster client follows a redirection; refused, since there is no cluster.
auth|connection|1.0.0|Authenticates the connection.
bgsave|server|1.0.0|Writes the snapshot in the background.
client|connection|2.4.0|A container for client connection commands.
cluster|cluster|3.0.0|Asks about a cluster; refused, since there is none.
command|server|2.8.13|Returns detailed information about all commands.
config|server|2.0.0|A container for server configuration commands.
copy|generic|6.2.0|Copies the value of a key to a new key.
dbsize|server|1.0.0|Returns the number of keys in the database.
decr|string|1.0.0|Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.
decrby|string|1.0.0|Decrements a number from the integer value of a key.
del|generic|1.0.0|Deletes one or more keys.
delifeq|string|9.0.0|Deletes a key if its value is the given one.
discard|transactions|2.0.0|Discards a transaction.
echo|connection|1.0.0|Returns the given string.
eval|scripting|2.6.0|Executes a script that the service knows.
evalsha|scripting|2.6.0|Executes a script that the service knows by its SHA-1.
exec|transactions|1.2.0|Executes all commands in a transaction.
exists|generic|1.0.0|Determines whether one or more keys exist.
expire|generic|1.0.0|Sets the expiration time of a key in seconds.
expireat|generic|1.2.0|Sets the expiration time of a key to a Unix timestamp.
expiretime|generic|7.0.0|Returns the expiration time of a key as a Unix timestamp.
flushall|server|1.0.0|Removes all keys.
flushdb|server|1.0.0|Removes all keys.
get|string|1.0.0|Returns the string value of a key.
getdel|string|6.2.0|Returns the string value of a key after deleting the key.
getex|string|6.2.0|Returns the string value of a key after setting its expiration time.
getrange|string|2.4.0|Returns a substring of the string stored at a key.
getset|string|1.0.0|Returns the previous string value of a key after setting it to a new value.
hello|connection|6.0.0|Handshakes with the server.
incr|string|1.0.0|Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.
incrby|string|1.0.0|Increments the integer value of a key by a number.
incrbyfloat|string|2.6.0|Increments the floating point value of a key by a number.
info|server|1.0.0|Returns information and statistics about the server.
keys|generic|1.0.0|Returns all key names that match a pattern.
lastsave|server|1.0.0|Returns the Unix timestamp of the last successful snapshot.
latency|server|2.8.13|A container for latency diagnostics commands.
memory|server|4.0.0|A container for memory diagnostics commands.
mget|string|1.0.0|Atomically returns the string values of one or more keys.
mset|string|1.0.1|Atomically creates or modifies the string values of one or more keys.
msetnx|string|1.0.1|Atomically modifies the string values of one or more keys only when all keys don't exist.
multi|transactions|1.2.0|Starts a transaction.
object|generic|2.2.3|A container for object introspection commands.
persist|generic|2.2.0|Removes the expiration time of a key.
pexpire|generic|2.6.0|Sets the expiration time of a key in milliseconds.
pexpireat|generic|2.6.0|Sets the expiration time of a key to a Unix milliseconds timestamp.
pexpiretime|generic|7.0.0|Returns the expiration time of a key as a Unix milliseconds timestamp.
ping|connection|1.0.0|Returns the server's liveliness response.
psetex|string|2.6.0|Sets both string value and expiration time in milliseconds of a key.
pttl|generic|2.6.0|Returns the expiration time in milliseconds of a key.
quit|connection|1.0.0|Closes the connection.
randomkey|generic|1.0.0|Returns a random key name from the database.
readonly|cluster|3.0.0|Allows reading from a replica of a cluster; refused, since there is none.
readwrite|cluster|3.0.0|Takes READONLY back; refused, since there is no cluster.
rename|generic|1.0.0|Renames a key and overwrites the destination.
renamenx|generic|1.0.0|Renames a key only when the target key name doesn't exist.
reset|connection|6.2.0|Resets the connection.
save|server|1.0.0|Writes the snapshot and waits for it.
scan|generic|2.8.0|Iterates over the key names in the database.
script|scripting|2.6.0|A container for scripts management commands.
select|connection|1.0.0|Changes the selected database; there is one.
set|string|1.0.0|Sets the string value of a key. The key is created if it doesn't exist.
setex|string|2.0.0|Sets the string value and expiration time of a key. Creates the key if it doesn't exist.
setnx|string|1.0.0|Set the string value of a key only when the key doesn't exist.
setrange|string|2.2.0|Overwrites a part of a string value with another by an offset.
shutdown|server|1.0.0|Writes the snapshot and stops the service.
slowlog|server|2.2.12|A container for slow log commands.
strlen|string|2.2.0|Returns the length of a string value.
substr|string|1.0.0|Returns a substring from a string value.
time|server|2.6.0|Returns the server time.
touch|generic|3.2.1|Returns how many of the keys exist, after updating the time of their last use.
ttl|generic|1.0.0|Returns the expiration time in seconds of a key.
type|generic|1.0.0|Determines the type of value stored at a key.
unlink|generic|4.0.0|Deletes one or more keys.
unwatch|transactions|2.2.0|Forgets about watched keys of a transaction.
watch|transactions|2.2.0|Monitors changes to keys to determine the execution of a transaction.
"""


def _parse() -> dict[str, tuple[str, str, str]]:
    made = {}
    for line in _LINES.splitlines():
        name, group, since, summary = line.split("|", 3)
        made[name] = (group, since, summary)
    return made


#: Group, version, summary, by the name in lower case.
DOCUMENTATION: Mapping[str, tuple[str, str, str]] = _parse()
