"""Emulated boards: each is a process of its own behind a pty, listed in a registry."""
