"""Native functions: where they come from, their C signatures, and Python values as their arguments.

May use the engine and errors, and nothing else of the project.

A call, in the order of its files: `sources` and `symbol` make a `function` of an object, or of a name in a library. Its
`signature` is parsed from a `declaration`, or taken from `foreign_types`, and is made of `c_types`. The `call_plan` of a
signature fills a call: it converts Python values to `numbers` and `pointers`, the latter with `buffer_formats` and
`foreign_memory`. `build_id` tells builds of a library apart; `element_types` names the numbers that arrays hold.
"""
