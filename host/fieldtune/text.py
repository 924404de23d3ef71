"""Text that came from a file or a board, made safe to show."""


def printable(text: object, limit: int = 200) -> str:
    """`text` with everything that could steer a terminal escaped, cut after `limit` characters."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text)[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "..."
