"""Checks everything that the daemon needs, one by one, and says how to mend what fails. Changes nothing anywhere."""

from agent.checkup.examination import examine
from agent.checkup.findings import Finding, State

__all__ = ["Finding", "State", "examine"]
