"""What plugs kthreads into other libraries: one module for each, imported only when asked for."""
