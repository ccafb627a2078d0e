"""Per-task logging for asyncio programs."""
