"""What the storage room raises, sorted by what the caller must do.

    StorageError
    ├── StoreUnavailable      answer 503 and let the sender try again
    │   ├── StoreBusy         the database works, somebody else holds what we need
    │   └── StoreBroken       the disk lied or the file is damaged: end the process
    │       └── StoreReplaced another server goes on in its place: end, and start anew
    ├── DatabaseLocked        another process has the database
    ├── UnsafePlace           the file lies where SQLite cannot keep its promises
    ├── LibraryUnfit          the SQLite library is missing or too old
    ├── SchemaDiffers         the tables are not those of this version
    ├── DatabaseUrlInvalid    DATABASE_URL names nothing we know
    └── SpoiledTransaction    a function went on after a database error that it caught

StoreUnavailable is a Retryable and SpoiledTransaction a Misuse of `domain.errors`, so a step needs to know those only.
No message holds a URL, a password or a row's values.
"""

from domain.errors import Misuse, PaymentSystemError, Retryable


class StorageError(PaymentSystemError):
    """Never raised itself."""


class StoreUnavailable(StorageError, Retryable):
    """The write was refused, rolled back, or its outcome is unknown (a lost COMMIT answer). Whoever asked is told 503;
    asking again is safe because every write is idempotent."""


class StoreBusy(StoreUnavailable):
    """A lock or a free connection could not be had in time; nothing was written."""


class StoreBroken(StoreUnavailable):
    """The file is damaged or a flush to disk failed. Nothing more is written; the process must end and say so."""


class StoreReplaced(StoreBroken):
    """The database goes on from another server's copy of it, which may lack what was committed last. The process must
    end: the next start waits, and asks outside what is missing."""


class DatabaseLocked(StorageError):
    """Another process uses this database. Stop it first, or let it do the work."""


class UnsafePlace(StorageError):
    """The database file lies on a network file system, where locks and flushes cannot be trusted."""


class LibraryUnfit(StorageError):
    """The SQLite library in use is not the bundled one, or is older than the version that mends the WAL-reset bug."""


class SchemaDiffers(StorageError):
    """The database was made by another version of the program. Run `db upgrade`, or start the newer version."""


class DatabaseUrlInvalid(StorageError):
    """DATABASE_URL is neither an SQLite file nor a PostgreSQL address."""


class SpoiledTransaction(StorageError, Misuse):
    """A function caught a database error without `conn.begin_nested()` and went on. The databases differ in what is
    left of such a transaction, so both refuse it. A defect of the function, not of the database."""
