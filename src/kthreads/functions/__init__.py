"""Native functions: where they come from, their C signatures, and Python values as their arguments.

May use the engine and errors, and nothing else of the project.

A call, in the order of its files: `sources` and `symbol` make a `function` of an object, or of a name in a library. Its
`signature` is parsed from a `declaration` with the names of a `scope`, or taken from `foreign_types`, and is made of
`c_types`. The `call_plan` of a signature fills a call. It is in C, in the module `_call`, and asks the converters of `numbers`
and `pointers` about values that it does not know; `pointers` has the help of `buffer_formats` and `foreign_memory`. An object
that was `seen` before is looked at once. `build_id` tells builds of a library apart; `element_types` names the numbers that
arrays hold.

Many declarations at once: a `header` is divided into `c_tokens`, and those into one `external_declaration` after the other;
a `constant_expression` gives the value of an enumerator or of a macro.
"""
