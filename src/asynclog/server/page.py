"""The dashboard's files, as the build left them beside this module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

from asynclog.server.operation import Call

STATIC: Final = Path(__file__).parent / "static"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""Of the page itself: nothing runs in it but its own files, and what it does not need it cannot ask for."""
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""The build names its files after their content."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
_MEDIA: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_UNBUILT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>asynclog</title></head><body>
<h1>asynclog runs, its page was not built</h1>
<p>Run <code>make web</code> in the source directory and load this page again.
Everything else is there: <a href="api/tasks">tasks</a>, <a href="openapi.json">the API</a>.</p>
</body></html>
"""


async def index(call: Call) -> Response:
    """The page."""
    path = STATIC / "index.html"
    if not path.is_file():
        return HTMLResponse(_UNBUILT, headers=HEADERS)
    return _file(call, path, "text/html; charset=utf-8", HEADERS)


async def asset(call: Call) -> Response:
    """One of its files, as the build packed it for those who can unpack it."""
    name = call.path["name"]
    path = STATIC / "assets" / name
    media = _MEDIA.get(path.suffix)
    if not _NAME.fullmatch(name) or media is None or not path.is_file():
        raise HTTPException(404)
    packed = path.with_name(f"{name}.gz")
    if not packed.is_file():
        return _file(call, path, media, {"Cache-Control": FOR_EVER})
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
    if not _takes_gzip(call.request.headers.get("accept-encoding", "")):
        return _file(call, path, media, headers)
    return _file(call, packed, media, {**headers, "Content-Encoding": "gzip"})


def _file(call: Call, path: Path, media: str, headers: Mapping[str, str]) -> Response:
    """A file as a whole: nobody needs a part of it, and a Range gone wrong would be answered by no problem of ours."""
    scope = call.request.scope
    scope["headers"] = [header for header in scope["headers"] if header[0] != b"range"]
    return FileResponse(path, media_type=media, headers={**headers, "Accept-Ranges": "none"})


def _takes_gzip(accepted: str) -> bool:
    """Whether somebody wants it packed: named, and not ruled out by a weight of nothing."""
    for part in accepted.lower().split(","):
        coding, _, weight = (piece.strip() for piece in part.partition(";"))
        if coding == "gzip":
            return not re.fullmatch(r"q\s*=\s*0(\.0*)?", weight)
    return False
