"""Bridges: what other systems log or report becomes entries of a task."""
