"""The checks of `make contract`: what no document answers, asked of the real services with test keys."""
