"""A run made visible: on a terminal, as log lines, as a report."""
