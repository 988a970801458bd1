"""Backups, and what a restored database must find again that the world knows and its rows do not."""
