"""Where tasks and entries live."""
