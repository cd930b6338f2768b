"""Native functions: where they come from, their C signatures, and Python values as their arguments.

May use errors, and nothing else of the project."""
