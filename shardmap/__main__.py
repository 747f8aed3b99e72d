"""The command ``shardmap``, and ``python -m shardmap``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, which needs the extra of the service."""
    try:
        from shardmap.service.cli import main as command  # noqa: PLC0415  # It may be absent.
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "click":
            raise
        print("shardmap: the command line needs click and others: pip install 'shardmap[service]'", file=sys.stderr)
        sys.exit(1)
    command(prog_name="shardmap")


if __name__ == "__main__":
    main()
