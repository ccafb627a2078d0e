"""Tasks: what runs, and what it holds while it runs."""
