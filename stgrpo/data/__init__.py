"""The training corpus: fetched files, checked and unpacked, and Video-R1-data's rows as questions."""
