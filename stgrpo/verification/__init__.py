"""Results checked by themselves: hashes, specs, and every number of a table from the predictions again."""
