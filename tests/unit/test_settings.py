"""The logging settings: their table, what they accept, which value counts."""

import pytest

from asynclog.errors import ConflictError, InvalidError
from asynclog.settings import SETTINGS, Settings, from_environment, read_setting


def test_the_defaults_are_of_their_own_kind() -> None:
    """Every default is a value its own setting accepts, and stays what it is."""
    for setting in SETTINGS.values():
        assert setting.read(setting.default) == setting.default
        assert setting.help.endswith(".")


def test_pinned_over_stored_over_file_over_default() -> None:
    """A pinned value counts over a stored one, that over the file's, that over the default."""
    settings = Settings(
        pinned={"log_level": "ERROR"}, file={"log_level": "DEBUG", "task_log_level": "warn", "retention_days": 3}
    )
    settings.load({"log_level": "INFO", "task_log_level": "DEBUG"})
    assert settings["log_level"] == "ERROR"
    assert settings["task_log_level"] == "DEBUG"
    assert settings["retention_days"] == 3
    assert settings["flush_interval"] == 2.0
    assert settings.pinned == ["log_level"]


def test_a_change_turns_the_dials() -> None:
    """What is applied counts for the hot path at once, and whoever listens is told, also at first."""
    settings, told = Settings(), []
    settings.on_change(lambda: told.append(settings["log_level"]))
    changed = {
        "task_log_level": "trace",
        "belief_scope_enabled": "off",
        "message_limit": 10,
        "capture_enabled": False,
        "capture_inputs": "0",
        "capture_outputs": "no",
        "max_data_size": "500",
    }
    settings.apply(settings.check(changed))
    dials = settings.dials
    assert (dials.threshold, dials.belief_scope, dials.message_limit) == (10, False, 10)
    assert (dials.capture, dials.capture_inputs, dials.capture_outputs, dials.max_data_size) == (
        False,
        False,
        False,
        500,
    )
    assert told == ["INFO", "INFO"]


def test_a_pinned_setting_is_not_changed() -> None:
    """A change that names a pinned setting is refused whole, with a sentence that names it."""
    settings = Settings(pinned={"log_level": "ERROR"})
    with pytest.raises(ConflictError, match="log_level is pinned to 'ERROR'"):
        settings.check({"task_log_level": "DEBUG", "log_level": "INFO"})
    assert settings["task_log_level"] == "INFO"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_level", "loud"),
        ("log_level", None),
        ("belief_scope_enabled", "maybe"),
        ("belief_scope_enabled", None),
        ("flush_interval", 0),
        ("flush_interval", float("nan")),
        ("flush_interval", "soon"),
        ("flush_interval", True),
        ("message_limit", -1),
        ("message_limit", 1.5),
        ("message_limit", float("inf")),
        ("message_limit", 10**400),
        ("retention_days", -1),
        ("retention_days", float("nan")),
        ("retention_days", 1e9),
        ("retention_max_tasks", "all"),
        ("max_data_size", [1]),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: object) -> None:
    """A value that is not of the setting's kind raises InvalidError that names it."""
    with pytest.raises(InvalidError, match=name) as raised:
        read_setting(name, value)
    assert raised.value.parameter == name


def test_an_unknown_setting_is_refused() -> None:
    """There are no other settings, and the error lists those there are."""
    with pytest.raises(InvalidError, match="task_log_level"):
        Settings().check({"log_levle": "INFO"})


def test_the_environment_pins() -> None:
    """`ASYNCLOG_CAPTURE_INPUTS=0` and its like are read; other variables are not."""
    found = from_environment(
        {"ASYNCLOG_CAPTURE_INPUTS": "0", "ASYNCLOG_LOG_LEVEL": "Warn", "CAPTURE_OUTPUTS": "0", "ASYNCLOG_X": "1"}
    )
    assert found == {"capture_inputs": False, "log_level": "WARNING"}
    with pytest.raises(InvalidError, match="message_limit"):
        from_environment({"ASYNCLOG_MESSAGE_LIMIT": "large"})


def test_what_another_version_stored_is_passed_over() -> None:
    """A stored name or value that this version does not know is ignored, the others count."""
    settings = Settings()
    settings.load({"gone": 1, "log_level": "deafening", "task_log_level": "ERROR"})
    assert (settings["log_level"], settings["task_log_level"]) == ("INFO", "ERROR")
