"""Style sheets, scripts and icons: read once, served under a name that changes with their content."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path

from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse

FOLDER = Path(__file__).parent.parent / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"
"""A changed file has another name, so that browsers never ask again for this one."""
HASH_CHARS = 12


class Files:
    """The files of `static/`. `urls` maps a file's name to the address under which it is served."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._contents = _contents(folder)
        self.urls: Mapping[str, str] = {name: _url(name, content) for name, content in self._contents.items()}

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", self.urls[name], Access.PUBLIC, _serve(name, content), name, face=Face.FILE)
            for name, content in self._contents.items()
        ]


@cache
def _contents(folder: Path) -> Mapping[str, bytes]:
    """Shops' and operators' pages share them."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in TYPES}


@cache
def _url(name: str, content: bytes) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"/static/{stem}.{hashlib.sha256(content).hexdigest()[:HASH_CHARS]}.{suffix}"


def _serve(name: str, content: bytes) -> Callable[[Call], Awaitable[WebResponse]]:
    kind = TYPES[Path(name).suffix]

    async def serve(_: Call) -> WebResponse:
        return WebResponse(200, content, kind, {"Cache-Control": FOREVER})

    return serve
