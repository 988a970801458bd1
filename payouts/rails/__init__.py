"""The ways money leaves the platform wallet. Each rail is a step over transfers."""
