"""The world's ports on the loopback interface: fixed offsets from one base, checked before anything starts."""

import socket
from dataclasses import dataclass

HOST = "127.0.0.1"
PORT_BASE = 17_300
"""Below the ports that systems hand out by themselves, and used by no service we know of."""
PORTS = ("stripe", "circle", "solana_rpc", "solana_ws", "agent", "admin", "circle_mint")
"""In the order of their offsets. The WebSocket lies one above the RPC, where Solana's clients look for it."""
PORT_MAX = 65_535


class PortTaken(Exception):
    """Something else listens where the world would; the text names the port and the way out."""


@dataclass(frozen=True, slots=True)
class Ports:
    """0 for a service means: any free port, known once it listens."""

    stripe: int
    circle: int
    solana_rpc: int
    solana_ws: int
    agent: int
    admin: int
    circle_mint: int


def ports_from(base: int) -> Ports:
    """The seven ports from `base` on, all of them free now. Base 0 takes free ones wherever they are.

    Raises PortTaken.
    """
    if base == 0:
        agent, admin = _free(2)
        return Ports(0, 0, 0, 0, agent, admin, 0)
    if not 1_024 <= base <= PORT_MAX - len(PORTS) + 1:
        raise PortTaken(f"--port-base {base} leaves no room: seven ports between 1024 and {PORT_MAX} are needed")
    for offset, name in enumerate(PORTS):
        if not _is_free(base + offset):
            raise PortTaken(
                f"port {base + offset} ({name}) is taken by another program; stop that, or choose seven other ports "
                f"with --port-base (now {base})"
            )
    return Ports(*(base + offset for offset in range(len(PORTS))))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free(count: int) -> list[int]:
    """Ports that the system hands out, held together for a moment so that they differ."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
