"""A simulator that tries to make the payment agent lose money.

The unchanged daemon runs on a virtual clock against the sandbox's state machines in the same process: no sockets, no
threads, and every choice from one seed. What happens is judged by a checker that reads the database file and the
worlds' own records, and nothing of the daemon's code.
"""
