"""Imported by the forkserver alone, as it starts: binds its life to the coordinator's and loads what workers need.

Nothing here may use obstore: it hangs in a child that is forked after use.
"""

import signal

from workers import entry, lifeline

__all__ = ["entry"]

signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides what an interrupt means
lifeline.die_with_parent()
