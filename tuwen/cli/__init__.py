"""The command line: parse, call one function, print its result."""

from __future__ import annotations

from tuwen.cli.program import app, main

__all__ = ["app", "main"]
