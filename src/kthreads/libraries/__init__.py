"""Whole libraries: C declarations by the dozen, and C that is compiled here.

May use the functions, and nothing above them.

A `Library` has what `functions/header.py` reads from declarations, or what `preprocessed` reads from a header or a source
file after the preprocessor of the `compiler` has been over it. `compile_c` builds a library from source in the
`build_cache`.
"""
