"""Rows: the tables, the engines that write them, the repositories that name every query, and the migrations.

One rule: all of it is reached through `store.read(fn)` and `store.write(fn)`; `fn` touches only its connection. What
lies here itself is what all repositories stand on; each folder's first line says what its rows are about (ADR 55).
"""
