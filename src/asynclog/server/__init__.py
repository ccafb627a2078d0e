"""The service: asynclog over HTTP and WebSocket.

`create_app` gives an ASGI application over a task manager; ``asynclog.server.serve`` runs it by itself.
"""

from asynclog.server.app import create_app

__all__ = ["create_app"]
