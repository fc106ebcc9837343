"""`ledgerfill bench`: what this machine can do, and what the program makes of it, measured in one run."""
