"""One worker: reads, decodes and encodes a chunk; imports nothing of the pipeline and sees no database."""
