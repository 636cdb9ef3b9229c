"""Studies of parts of the codecs: the only benchmarks that import from below the public names."""
