"""Figures of speed, as ratios within one run. The SQLite library is exchanged first, as in main.py."""

from storage.engines import engine_library

engine_library.install()
