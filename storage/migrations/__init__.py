"""The steps from one schema to the next, each frozen once released; `storage.migrations.autogenerate` writes them."""
