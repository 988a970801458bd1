"""Reads only: what buyers, creators, operators and the metrics are shown."""
