"""What all tests share. The SQLite library is exchanged first, before anything imports the standard one."""

from storage import engine_library

engine_library.install()

pytest_plugins = ["tests.databases"]
