"""``python -m sentences`` writes ``sentences.csv.gz``."""

from sentences.make import FILE, ROWS, write_sentences

write_sentences()
print(f"wrote {ROWS:,} sentences in four languages to {FILE.name}")
