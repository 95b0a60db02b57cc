"""``python -m ds_core.text.sentences`` writes ``sentences.csv``."""

from ds_core.text.sentences.make import FILE, ROWS, write_sentences

write_sentences()
print(f"wrote {ROWS:,} sentences in four languages to {FILE.name}")
