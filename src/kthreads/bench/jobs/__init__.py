"""Jobs that people have: each is done by kthreads and by every peer that suits it, on the same data, with a check of each
outcome."""
