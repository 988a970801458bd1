"""The operator's pages: a client of the operator's API in the same process, for people who look before they approve."""
