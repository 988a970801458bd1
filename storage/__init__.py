"""Rows: the tables, the engines that write them, the repositories that name every query, and the migrations.

One rule: all of it is reached through `store.read(fn)` and `store.write(fn)`; `fn` touches only its connection.
"""
