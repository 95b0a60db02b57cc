"""``python -m sentiment`` writes ``sentiment.csv.gz``."""

from sentiment.make import FILE, write_sentences

print(f"wrote {write_sentences():,} sentences to {FILE.name}")
