"""`python main.py <command>`: the daemon, its commands and the sandbox."""

from storage import engine_library

engine_library.install()  # before anything can import sqlite3

from agent.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
