"""Getting a machine ready: the toolchain's packages, and what a wheel carries."""
