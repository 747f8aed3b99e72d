"""``python -m shardmap.demo``."""

from shardmap.demo.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
