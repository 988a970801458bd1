"""The sandbox's Circle W3S (programmable wallets). Strict where the reference is sure, a switch where it is not."""

from sandbox.circle_service.platform import Platform, setup_platform
from sandbox.circle_service.service import CircleService
from sandbox.circle_service.settings import PACES, Limits, Pace, Switches

__all__ = ["PACES", "CircleService", "Limits", "Pace", "Platform", "Switches", "setup_platform"]
