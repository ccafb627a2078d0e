"""Where values come from, which of them count, and what is said about wrong ones."""

from pathlib import Path

import pytest

from asynclog.config import load
from asynclog.errors import InvalidError


def _file(folder: Path, text: str) -> Path:
    path = folder / "asynclog.toml"
    path.write_text(text)
    return path


def test_a_flag_counts_before_a_variable_before_the_file_before_the_default(tmp_path: Path) -> None:
    """Each value comes from the first place that names it: flag, ASYNCLOG_*, file, default."""
    file = _file(tmp_path, '[server]\nhost = "::1"\nport = 1\ndata = "there"\n')
    found = load({"host": "localhost", "port": None}, {"ASYNCLOG_HOST": "0.0.0.0", "ASYNCLOG_PORT": "2"}, file)  # noqa: S104 - never listened on
    assert (found.server.host, found.server.port, found.server.data) == ("localhost", 2, "there")
    assert found.server.log_format == "text"


def test_flags_and_variables_pin_settings_and_the_file_does_not(tmp_path: Path) -> None:
    """A setting from a flag or a variable is pinned, with its origin; one from the file is only a default."""
    file = _file(tmp_path, '[logging]\ntask_log_level = "debug"\nretention_days = 3\n')
    found = load({"flush_interval": "0.5"}, {"ASYNCLOG_TASK_LOG_LEVEL": "warn"}, file)
    assert found.pinned == {"task_log_level": "WARNING", "flush_interval": 0.5}
    assert found.pinned_by == {"task_log_level": "ASYNCLOG_TASK_LOG_LEVEL", "flush_interval": "--flush-interval"}
    assert found.settings == {"task_log_level": "DEBUG", "retention_days": 3.0}


def test_lists_come_from_everywhere(tmp_path: Path) -> None:
    """Host names and origins are lists in the file and of flags, and separated by commas in a variable."""
    file = _file(tmp_path, '[server]\nhosts = ["a.example", "b.example"]\norigins = ["https://a.example"]\n')
    assert load(file=file).server.hosts == ("a.example", "b.example")
    found = load({"origins": ("https://d.example",)}, {"ASYNCLOG_HOSTS": "c.example, [::1]"}, file)
    assert found.server.hosts == ("c.example", "[::1]")
    assert found.server.origins == ("https://d.example",)


def test_plugins_get_their_own_table(tmp_path: Path) -> None:
    """[plugins.NAME] is kept as it is for the plugin of that name."""
    found = load(file=_file(tmp_path, '[plugins.backup]\nkeep = 7\nto = ["a", "b"]\n'))
    assert found.plugins == {"backup": {"keep": 7, "to": ["a", "b"]}}


def test_a_missing_file_matters_only_when_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without asynclog.toml the defaults count; a file that somebody named has to be there."""
    monkeypatch.chdir(tmp_path)
    assert load().server.port == 8700
    with pytest.raises(InvalidError, match=r"there is no configuration file other\.toml"):
        load(environment={"ASYNCLOG_CONFIG": "other.toml"})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[server]\nprot = 1", "server.prot"),
        ("[servers]\nport = 1", "servers"),
        ("[logging]\nlevel = 'INFO'", "logging.level"),
        ("[logging]\ntask_log_level = 'LOUD'", "logging.task_log_level"),
        ("[server]\nport = '8700'", "server.port"),
        ("[server]\nport = 70000", "server.port"),
        ("[server]\nlog_format = 'xml'", "server.log_format"),
        ("[plugins]\nbackup = 1", "plugins"),
        ("port =", "config"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, key: str) -> None:
    """An unknown key or a bad value is an error that names the key as the file has it."""
    with pytest.raises(InvalidError) as refused:
        load(file=_file(tmp_path, text))
    assert refused.value.parameter.startswith(key)
    assert key.rpartition(".")[2] in str(refused.value) or key == "config"


@pytest.mark.parametrize(("name", "value"), [("PORT", "many"), ("LOG_FORMAT", "xml"), ("TASK_LOG_LEVEL", "LOUD")])
def test_what_is_wrong_in_the_environment_is_named(name: str, value: str) -> None:
    """A bad variable is an error that names it; an empty one counts as not set."""
    with pytest.raises(InvalidError, match=f"(?i){name}"):
        load(environment={f"ASYNCLOG_{name}": value})
    assert load(environment={f"ASYNCLOG_{name}": ""}).pinned == {}
