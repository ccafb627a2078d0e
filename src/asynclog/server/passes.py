"""How somebody was let in, and for how long."""

from __future__ import annotations

from asynclog.model import Value
from asynclog.principal import Principal
from asynclog.server.sessions import Session


class Pass(Value, frozen=True):
    """Somebody who was let in: by a key, or with a session's cookie, or because nobody is asked.

    ``until`` says when it ends by itself (microseconds; None: never). A ticket passes its maker's pass on.
    """

    principal: Principal
    session: Session | None = None
    until: int | None = None
