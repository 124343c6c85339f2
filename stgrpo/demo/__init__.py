"""The scales that need no download: a rendered world, its corpora in the original formats, tiny models of the real
architectures."""
