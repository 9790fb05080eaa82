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
    "a backup that is put back, and had not planned yet what Stripe refused meanwhile": """
        2026-01-15T00:00:00 meter m0
        2026-02-22T05:57:44 subscribe c0 m0
        2026-02-22T08:57:44 use c0 m0 3
        2026-02-23T05:57:44 refuse
        2026-02-23T05:57:44 backup
        2026-02-23T05:57:44 work sync=1
        2026-02-23T06:57:44 restore
    """,
    "a lower total that was held until its period had closed": """
        2026-10-24T12:34:56 meter m0
        2026-10-24T12:34:56 subscribe c1 m0 every=week
        2026-10-31T12:49:55 use c1 m0 2
        2026-10-31T15:34:56 empty
        2026-10-31T15:34:56 work sync=1
        2026-11-02T12:34:56 lose c1 m0 1
        2026-11-03T15:34:56 back
        2026-11-07T13:55:32 subscribe c0 m0
    """,
    "an empty answer where nothing was measured before": """
        2026-03-10T09:00:00 meter m0
        2026-03-16T09:00:49 subscribe c1 m0
        2026-03-30T08:00:49 use c1 m0 7
        2026-04-02T06:38:18 empty
        2026-04-02T06:38:18 work sync=1
        """,
    "carried usage that was not sent in time itself, in an hour of one value": """
        2026-03-10T09:00:00 meter m0 window=hour
        2026-03-10T09:00:00 subscribe c0 m0 every=day
        2026-04-01T10:00:00 use c0 m0 1
        2026-04-17T10:00:00 use c0 m0 100
        2026-04-29T21:28:23 work sync=1
        2026-04-29T21:38:23 staff
        2026-05-01T20:14:48 staff
    """,
    "late usage that could be carried into a period that is paused": """
        2026-05-31T23:00:01 meter m0
        2026-05-31T23:00:01 subscribe c7 m0 every=day
        2026-06-16T12:40:17 use c7 m0 2
        2026-06-22T08:35:58 pause c7 m0
    """,
    "usage that came in while a reading that was wrong was held": """
        2026-01-15T00:00:00 meter m0
        2026-01-15T00:00:00 subscribe c0 m0
        2026-02-10T23:50:08 use c0 m0 2
        2026-02-11T00:37:13 work sync=1
        2026-02-11T00:42:13 empty
        2026-02-11T00:42:13 twice
        2026-02-13T00:35:08 use c0 m0 2 ago=259200
    """,
    "a cancellation without an invoice after late usage was carried": """
        2026-03-10T09:00:00 meter m0
        2026-03-14T23:25:41 subscribe c1 m0 anchor=325725
        2026-03-16T19:59:42 use c1 m0 7
        2026-04-09T17:55:41 work sync=1
        2026-04-18T10:56:00 staff
        2026-04-18T18:35:48 cancel c1 m0 when=now
    """,
    "a backup of yesterday, after which a day is cut where hours were sent": """
        2026-05-31T23:00:01 meter m0
        2026-06-03T07:59:22 subscribe c7 m0
        2026-07-07T22:59:02 use c7 m0 0.5
        2026-07-08T00:01:01 backup
        2026-07-08T00:01:01 work sync=1
        2026-07-08T00:02:01 restore
    """,
    "a backup under whose report Stripe has less than was used by then": """
        2026-01-15T00:00:00 meter m0
        2026-01-15T00:00:00 subscribe c1 m0
        2026-01-28T22:31:01 use c1 m0 10
        2026-01-29T00:02:02 backup
        2026-01-29T00:02:02 work sync=1
        2026-01-29T01:01:03 use c1 m0 100 ago=7200
        2026-01-29T05:02:02 restore
    """,
    "late usage that was carried, not sent in time, and has no open period any more": """
        2026-01-15T00:00:00 meter m0
        2026-01-15T00:00:00 subscribe c2 m0 every=day
        2026-01-29T01:00:00 use c2 m0 3
        2026-01-31T21:50:59 use c2 m0 1
        2026-02-13T00:10:00 backup
        2026-02-13T11:10:00 restore
        2026-02-18T19:12:57 pause c2 m0
    """,
    "a price that changed when nobody read Stripe for a month": """
        2026-10-24T12:34:56 meter m0
        2026-10-27T15:08:00 subscribe c0 m0 mode=classic
        2026-10-27T15:08:59 use c0 m0 10
        2026-11-02T09:53:25 work sync=1
        2026-11-05T00:03:46 swap c0 m0
        2026-12-16T06:45:51 work
    """,
    "an hour of one value in the middle of which the price changed": """
        2026-03-10T09:00:00 meter m0 window=hour
        2026-04-06T02:52:37 subscribe c0 m0
        2026-05-04T02:51:59 use c0 m0 7
        2026-05-04T02:52:00 swap c0 m0
    """,
    "an item that was replaced before anybody saw it": """
        2026-01-31T10:30:17 meter m0
        2026-02-16T23:26:51 subscribe c7 m0
        2026-03-08T18:06:51 use c7 m0 0.333333
        2026-03-08T18:36:52 replace c7 m0
    """,
    "a new item in whose first minute something was used": """
        2026-05-31T23:00:01 meter m0
        2026-06-15T21:45:08 subscribe c1 m0
        2026-06-15T21:58:38 work sync=1
        2026-07-02T03:27:06 replace c1 m0
        2026-07-02T03:27:07 use c1 m0 7
    """,
    "a wrong reading that was dismissed and came true later": """
        2026-01-31T10:30:17 meter m0
        2026-02-14T14:02:57 subscribe c2 m0
        2026-02-15T04:02:42 work sync=1
        2026-03-02T01:16:43 use c2 m0 5
        2026-03-02T09:56:08 arm die answered 1
        2026-03-02T09:56:08 work
        2026-03-02T11:56:08 empty
        2026-03-02T11:56:08 work
        2026-03-02T14:56:08 staff
        2026-03-03T10:29:18 use c2 m0 1000
        2026-03-04T10:30:17 use c2 m0 3
        2026-03-04T13:30:17 lose c2 m0 3
    """,
    "an item that was replaced in a period that nobody had read": """
        2026-03-10T09:00:00 meter m1
        2026-03-10T09:00:00 subscribe c1 m1
        2026-03-13T10:06:00 work sync=1
        2026-04-15T17:19:38 use c1 m1 1
        2026-04-15T18:19:38 replace c1 m1
    """,
    "what Stripe had all along, and nobody knew until its totals were compared after a price changed": """
        2026-01-31T10:30:17 meter m0
        2026-01-31T10:30:17 subscribe c1 m0 trial=3
        2026-01-31T10:30:17 meter m0b
        2026-02-22T19:44:10 swap c1 m0 to=m0b
        2026-02-23T19:44:10 work sync=1
        2026-02-28T10:31:18 use c1 m0b 5
        2026-03-01T10:30:17 fault 500 times=50 store=1
        2026-03-01T10:30:17 work
        2026-03-19T15:56:46 anchor c0 m0
    """,
    "late usage that was carried twice, as a backup was put back in between": """
        2026-10-24T12:34:56 meter m0
        2026-10-24T12:34:56 subscribe c1 m0 every=day
        2026-10-24T12:34:56 carry
        2026-11-20T12:34:56 use c1 m0 10 ago=259200
        2026-11-20T16:43:52 backup
        2026-11-20T16:43:52 work sync=1
        2026-11-20T17:43:52 restore
    """,
    "carried usage in a slice that was held for what Stripe had, behind a newer reading": """
        2026-03-10T09:00:00 meter m0
        2026-03-10T09:00:00 carry
        2026-03-13T00:46:13 subscribe c0 m0 every=week trial=3
        2026-03-16T02:46:13 use c0 m0 0.333333
        2026-03-23T01:52:13 backup
        2026-03-23T01:52:13 work sync=1
        2026-03-23T02:46:12 use c0 m0 7 ago=7200
        2026-03-23T06:52:13 restore
    """,
    "two revisions of one slice that Stripe had both, and a backup knew of neither": """
        2026-10-24T12:34:56 meter m0
        2026-10-24T12:34:56 subscribe c1 m0 every=day
        2026-10-24T12:34:56 carry
        2026-10-27T18:01:26 use c1 m0 10
        2026-11-20T14:34:56 use c1 m0 0.333333 ago=7200
        2026-11-20T16:43:52 backup
        2026-11-20T16:43:52 work sync=1
        2026-11-20T17:43:52 restore
    """,
    "an empty answer after usage that was late": """
        2026-01-31T10:30:17 meter m1
        2026-01-31T10:30:17 subscribe c0 m1 every=day anchor=49021
        2026-02-15T02:06:17 use c0 m1 7 ago=7200
        2026-02-15T03:07:18 work sync=1
        2026-02-15T03:07:48 empty times=8
        2026-02-15T03:07:48 work
        2026-04-07T00:37:18 work
    """,
    "usage that was sent in time, then forgotten with a backup, late and carried": """
        2026-03-10T09:00:00 meter m0
        2026-03-10T09:00:00 carry
        2026-03-27T00:24:44 subscribe c3 m0 every=week
        2026-04-04T03:50:08 use c3 m0 1000
        2026-04-10T00:54:44 backup
        2026-04-10T00:54:44 work sync=1
        2026-04-10T05:54:44 restore
    """,
    "usage that was carried under a name that a backup had forgotten": """
        2026-03-10T09:00:00 meter m0
        2026-03-10T09:00:00 carry
        2026-03-13T00:46:13 subscribe c0 m0 every=week trial=3
        2026-03-16T01:16:14 use c0 m0 3
        2026-03-16T01:45:13 sync
        2026-03-23T01:47:13 work
        2026-03-23T01:52:13 backup
        2026-03-23T01:52:13 work sync=1
        2026-03-23T02:46:12 use c0 m0 7 ago=7200
        2026-03-23T06:52:13 restore
    """,
    "two slices of one hour, of which Stripe had one": """
        2026-01-31T10:30:17 meter m1
        2026-01-31T10:30:17 subscribe c0 m1 every=day anchor=49021
        2026-02-10T00:06:19 use c0 m1 100
        2026-02-10T00:08:19 use c0 m1 7
        2026-02-10T13:25:35 backup
        2026-02-10T13:25:35 work sync=1
        2026-02-10T13:26:35 restore
    """,
    "late usage that was carried into a period which has closed since, and a backup knew nothing of it": """
        2026-01-15T00:00:00 meter m0
        2026-01-15T00:00:00 carry
        2026-01-15T16:14:23 backup
        2026-01-15T16:15:23 restore
        2026-01-15T22:35:25 subscribe c0 m0 every=day
        2026-01-23T06:51:10 away openmeter
        2026-01-23T08:45:00 use c0 m0 2
        2026-01-28T17:33:28 work sync=1
        2026-01-28T18:33:28 back
        2026-01-28T20:12:50 backup
        2026-01-28T20:12:50 work
        2026-01-29T01:12:50 restore
    """,
    "late usage that was carried within the hour before a backup was put back in the next period": """
        2026-03-10T09:00:00 meter m0
        2026-03-10T09:00:00 carry
        2026-03-27T00:24:44 subscribe c3 m0 every=week
        2026-04-04T03:50:08 use c3 m0 1000 ago=259200
        2026-04-10T00:54:44 backup
        2026-04-10T00:54:44 work sync=1
        2026-04-10T05:54:44 restore
    """,
    "usage of two periods that changed on the same day by the same amount": """
        2026-02-28T23:59:30 meter m0
        2026-03-13T10:29:49 subscribe c0 m0
        2026-04-13T10:30:48 use c0 m0 3
        2026-04-13T11:30:49 work sync=1
        2026-04-16T06:31:55 use c0 m0 1
        2026-04-16T09:29:48 use c0 m0 3 ago=259200
        2026-04-16T12:29:48 lose c0 m0 3
    """,
    "an hour that two periods share, measured again when the earlier one was five weeks old": """
        2026-02-28T23:59:30 meter m0
        2026-02-28T23:59:30 subscribe c0 m0 every=week
        2026-03-01T08:53:04 use c0 m0 2
        2026-03-01T08:54:04 anchor c0 m0
        2026-04-12T08:54:03 use c0 m0 0.333333
        2026-04-12T08:55:35 use c0 m0 5
        2026-04-16T00:50:43 backup
        2026-04-16T05:50:43 restore
        2026-04-17T22:53:19 work
        2026-05-11T16:53:55 use c0 m0 100
    """,
    "an item that moved to another meter, measured again five weeks later": """
        2026-02-28T23:59:30 meter m1
        2026-02-28T23:59:30 subscribe c0 m1 every=week
        2026-02-28T23:59:30 meter m1b
        2026-04-05T17:40:03 use c0 m1b 1000
        2026-04-05T17:40:04 swap c0 m1 to=m1b
        2026-05-03T00:29:30 work
    """,
    "a decrease that was released after the price had changed": """
        2026-03-10T09:00:00 meter m0
        2026-03-10T09:00:00 subscribe c0 m0
        2026-03-10T09:15:00 use c0 m0 5
        2026-03-10T11:00:00 use c0 m0 3
        2026-03-10T11:57:00 work sync=1
        2026-03-16T06:28:23 lose c0 m0 2
        2026-03-27T20:50:50 swap c0 m0
    """,
    "carried usage behind usage that was late itself": """
        2026-01-31T10:30:17 meter m0
        2026-01-31T10:30:17 subscribe c1 m0 anchor=251983
        2026-01-31T10:30:17 carry
        2026-02-03T08:28:59 use c1 m0 3
        2026-02-06T23:54:56 cancel c1 m0
        2026-02-08T18:55:26 backup
        2026-02-08T18:55:26 work sync=1
        2026-02-08T23:55:26 restore
        2026-02-12T15:31:47 use c1 m0 3
        2026-02-23T19:38:22 fault cut-before times=50
        2026-02-23T19:38:22 work who=person
        2026-03-03T08:29:01 use c1 m0 10
    """,
    "late usage that was compared before it was carried by a ledger that is no more": """
        2026-03-10T09:00:00 meter m0
        2026-03-10T09:00:00 subscribe c4 m0 every=day
        2026-04-02T06:30:08 use c4 m0 10
        2026-04-09T09:32:03 work sync=1
        2026-04-17T09:00:00 backup
        2026-04-17T09:00:00 work sync=1
        2026-04-17T09:10:00 staff
        2026-04-17T09:20:00 work
        2026-04-17T20:00:00 restore
    """,
    "usage after a change of price that a backup had forgotten": """
        2026-03-10T09:00:00 meter m0
        2026-03-17T17:38:24 subscribe c5 m0
        2026-04-09T17:51:09 swap c5 m0
        2026-04-15T09:00:00 use c5 m0 7
        2026-04-17T09:00:00 backup
        2026-04-17T09:00:00 work sync=1
        2026-04-17T20:00:00 restore
    """,
    "usage that was sent after its price had changed, and forgotten with a backup": """
        2026-01-31T10:30:17 meter m0
        2026-02-01T05:47:45 subscribe c0 m0
        2026-02-02T09:57:43 use c0 m0 10
        2026-02-21T09:28:29 swap c0 m0
        2026-02-21T10:27:29 backup
        2026-02-21T10:27:29 work sync=1
        2026-02-21T10:28:29 restore
    """,
    "an anchor that was moved when nobody read Stripe for more than an hour": """
        2026-01-15T00:00:00 meter m0
        2026-01-15T00:00:00 subscribe c1 m0
        2026-01-23T09:57:13 work sync=1
        2026-01-24T03:26:35 use c1 m0 0.333333
        2026-01-25T03:26:05 anchor c1 m0
        2026-01-25T04:27:05 work
        """,
    "an end in mid-period that nobody heard of before its invoice was final": """
        2026-01-15T00:00:00 meter m0
        2026-01-15T00:00:00 subscribe c1 m0
        2026-01-29T04:09:20 work sync=1
        2026-01-29T05:04:05 use c1 m0 0.333333
        2026-01-29T13:40:38 cancel c1 m0 when=326362
        2026-02-03T10:24:02 twice
        """,
    "an hour that begins in one period and into whose end, in the next one, late usage is carried": """
        2026-02-28T23:59:30 switch straddling_hour_window start
        2026-02-28T23:59:30 meter m0 window=hour
        2026-02-28T23:59:30 subscribe c1 m0 every=day
        2026-03-29T00:00:31 use c1 m0 1
        2026-03-30T21:04:42 use c0 m0 2
        """,
    "late usage of a day that a ledger sent before it was put back": """
        2026-01-31T10:30:17 meter m0 window=hour
        2026-01-31T10:30:17 subscribe c0 m0
        2026-02-23T23:49:17 use c0 m0 7
        2026-02-24T00:45:16 backup
        2026-02-24T00:45:16 work sync=1
        2026-02-24T00:46:16 restore
        2026-02-24T00:48:16 use c0 m0 3 ago=7200
        2026-02-26T00:18:16 work
        2026-02-26T23:49:15 use c0 m0 5 ago=259200
        2026-02-28T19:39:26 work
        """,
    "an anchor that was moved when nobody had read Stripe for longer than a period": """
        2026-05-31T23:00:01 meter m0
        2026-06-10T20:20:34 subscribe c0 m0 every=week
        2026-07-15T19:35:33 use c0 m0 0.333333
        2026-07-15T23:12:56 anchor c0 m0
        2026-07-15T23:22:56 work sync=1
        """,
    "an item whose place was taken, reported while the invoice is a draft": """
        2026-03-10T09:00:00 meter m0
        2026-03-18T04:02:49 subscribe c5 m0 every=week anchor=394860
        2026-04-07T15:50:25 use c5 m0 0.333333
        2026-04-07T18:49:26 arm die planned 1
        2026-04-07T18:49:26 work sync=1
        2026-04-08T16:52:26 replace c5 m0
        2026-04-12T18:29:12 work
        """,
    "a pause after a trial that nobody saw end": """
        2026-03-10T09:00:00 meter m0
        2026-03-21T13:15:12 subscribe c0 m0 trial=3
        2026-03-26T08:29:59 use c0 m0 7
        2026-03-28T14:49:19 pause c0 m0
        2026-03-30T23:54:00 work sync=1
        2026-04-08T04:32:26 resume c0 m0
    """,
    "an hour that was measured whole and reaches over a move to another meter": """
        2026-05-31T23:00:01 meter m0
        2026-05-31T23:00:01 meter m0b
        2026-06-18T03:17:17 subscribe c1 m0
        2026-07-05T08:22:59 work sync=1
        2026-07-15T19:01:48 swap c1 m0 to=m0b
        2026-07-16T00:02:49 use c1 m0 10 ago=18000
        2026-07-16T15:44:33 twice
    """,
    "late usage that a forgotten ledger had carried, and that nobody wants to bill": """
        2026-01-15T00:00:00 meter m0
        2026-01-15T00:00:00 carry
        2026-01-28T05:47:11 subscribe c2 m0 every=day
        2026-02-21T11:19:52 use c2 m0 0.5
        2026-03-01T22:31:42 use c2 m0 1
        2026-03-01T23:02:43 fault 503 times=6
        2026-03-01T23:02:43 work sync=1
        2026-03-04T22:42:43 backup
        2026-03-04T22:42:43 work sync=1
        2026-03-05T03:42:43 restore
    """,
    "usage of a trial that was measured for an ended subscription, and refused": """
        2026-03-10T09:00:00 meter m0
        2026-03-11T20:01:59 subscribe c4 m0 trial=3
        2026-03-18T12:30:26 work sync=1
        2026-03-27T15:53:35 refuse
        2026-04-02T22:56:53 cancel c4 m0 when=371032
        2026-04-07T06:02:15 subscribe c4 m0 trial=14
        2026-04-14T08:30:29 use c4 m0 100
        2026-04-14T09:58:01 work
        2026-05-02T00:33:45 use c4 m0 100
    """,
}
"""They go well now."""
