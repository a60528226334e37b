"""Search over a corpus: vectors that are kept, exact and approximate indexes, BM25, fusion."""
