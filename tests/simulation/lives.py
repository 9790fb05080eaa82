"""Lives that failed once, by what they taught, cut down to what they need."""

LIVES = {
    "a worker that is away for longer than Stripe takes usage": """
        2026-03-10T09:00:00 meter m0
        2026-03-10T09:00:00 subscribe c0 m0
        2026-03-17T01:56:07 use c0 m0 10
        2026-05-21T03:06:26 work
    """,
    "two late values of one hour that are written off one after the other": """
        2026-02-28T23:59:30 meter m0 window=hour
        2026-03-08T10:50:37 subscribe c0 m0 every=day
        2026-04-07T12:14:52 use c0 m0 0.5
        2026-04-07T13:13:21 fault 409 times=6
        2026-04-07T13:13:21 work sync=1
        2026-04-07T17:15:22 use c0 m0 0.5 ago=18000
        2026-04-08T19:13:21 back
    """,
    "a resumption that is seen after a renewal": """
        2026-03-10T09:00:00 meter m0
        2026-03-10T09:00:00 subscribe c0 m0 anchor=2247408
        2026-04-05T20:57:29 pause c0 m0
        2026-04-06T20:36:19 work sync=1
        2026-04-10T15:57:31 resume c0 m0
        2026-05-05T08:16:48 use c0 m0 1
    """,
    "an end in the middle of a period, reported before it was seen to have come": """
        2026-03-10T09:00:00 meter m0
        2026-03-23T04:13:29 subscribe c1 m0
        2026-04-04T20:51:28 cancel c1 m0 when=833178
        2026-04-09T12:02:39 work sync=1
        2026-04-14T11:17:46 use c1 m0 100
        2026-04-14T15:17:46 work
    """,
}
"""These go well now."""

OPEN: dict[str, str] = {}
"""These do not yet."""
