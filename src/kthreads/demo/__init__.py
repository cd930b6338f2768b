"""Jobs on real files, each by kthreads and by what people use today: what `kthreads demo` shows."""
