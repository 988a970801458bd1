"""What there is to read, and the little that renders it."""
