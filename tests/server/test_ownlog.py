"""The service's own log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from asynclog.server.ownlog import OURS, SERVER, LogFormat, to_stderr


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """Other tests find the loggers as they were."""
    loggers = [logging.getLogger(name) for name in (OURS, SERVER)]
    before = [(logger.handlers, logger.propagate, logger.filters, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, filters, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate, logger.filters = handlers, propagate, filters
        logger.setLevel(level)


def _said(log_format: LogFormat) -> str:
    stream = io.StringIO()
    to_stderr(log_format, stream)
    log = logging.getLogger("asynclog.server")
    log.setLevel(logging.INFO)
    log.info("one\n2026-01-01 00:00:00.000Z ERROR   forged: two")
    log.warning("connecting to %s", "https://user:hunter2@example.org/")
    try:
        raise ValueError("broken\x1b[2J\n2026-01-01 00:00:00.000Z ERROR   forged: three")
    except ValueError:
        log.exception("it failed")
    logging.getLogger(SERVER).info("a path with its query string")
    logging.getLogger(SERVER).error("Invalid UTF-8 sequence received from client.")
    return stream.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("args", [("password=hunter2",), ({"key": "password=hunter2"},), (1, "password=hunter2")])
def test_arguments_that_do_not_fit(
    log_format: LogFormat, args: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A call with arguments that do not fit is told with them, without secrets, and nothing goes past the log."""
    stream = io.StringIO()
    to_stderr(log_format, stream)
    logging.getLogger("asynclog.server").warning("%d items", *args)
    assert "%d items [arguments (" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_is_no_text(log_format: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of a surrogate pair, as in the name of a file that is no UTF-8, is told as its escape, in message and
    traceback; and nothing goes past the log.
    """
    stream = io.BytesIO()
    to_stderr(log_format, io.TextIOWrapper(stream, "utf-8", write_through=True))
    try:
        raise OSError("no such file: \udcff password=hunter2")
    except OSError:
        logging.getLogger("asynclog.server").exception("cannot read %s", "\udcff")
    said = stream.getvalue().decode()
    assert said.count("udcff") == 3
    assert "hunter2" not in said
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_written_is_no_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A record that cannot be written is left out: it is not told elsewhere as it is."""
    stream = io.StringIO()
    to_stderr("text", stream)
    stream.close()
    logging.getLogger("asynclog.server").warning("password=hunter2")
    assert capsys.readouterr().err == ""


def test_text_is_a_line_each() -> None:
    """A record is one line, whatever its message; a traceback stands indented below; secrets are not there."""
    first, second, third, *traceback = _said("text").splitlines()
    assert first.endswith("INFO    asynclog.server: one\\n2026-01-01 00:00:00.000Z ERROR   forged: two")
    assert "hunter2" not in second
    assert third.endswith("ERROR   asynclog.server: it failed")
    assert traceback[0].startswith("    Traceback")
    assert traceback[-2] == "    ValueError: broken\\x1b[2J"
    assert traceback[-1] == "    2026-01-01 00:00:00.000Z ERROR   forged: three"


def test_json_is_an_object_each() -> None:
    """A record is one JSON object; what the server says about paths or a client's garbage is not among them."""
    records = [json.loads(line) for line in _said("json").splitlines()]
    assert [record["level"] for record in records] == ["INFO", "WARNING", "ERROR"]
    assert set(records[0]) == {"timestamp", "level", "logger", "message"}
    assert "\nValueError: broken" in records[2]["traceback"]
    assert "hunter2" not in json.dumps(records)
