"""Lives that failed once, by what they taught, cut down to what they need."""

LIVES = {
    "a worker that is away for longer than Stripe takes usage": """
        2026-03-10T09:00:00 meter m0
        2026-03-10T09:00:00 subscribe c0 m0
        2026-03-17T01:56:07 use c0 m0 10
        2026-05-21T03:06:26 work
    """,
}
"""These go well now."""

OPEN: dict[str, str] = {}
"""These do not yet."""
