"""The command line: one module for each group of commands, all of them over `service.Service`."""

from asynclog.cli.main import main

__all__ = ["main"]
