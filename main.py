"""`python main.py <command>`: the daemon, its commands and the sandbox."""

try:
    from storage.engines import engine_library
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"error: this Python has no {missing.name}; run `make venv`, then `. .venv/bin/activate`, and try again"
    ) from None

engine_library.install()  # before anything can import sqlite3

from agent.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
