"""A black-box harness: clients on a real cluster while a seeded schedule of faults runs, judged by a model.

    schedule   which faults happen when: a pure function of the seed
    stage      the cluster: kills, freezes, cuts (`links`), takes mountpaths away; `inject` runs inside the nodes
    load       the clients; what they ask is in `objects` (with `reading`, `uploads`), `versions`, `buckets`
    book       what was asked and answered, per family of names; `history` tells it
    model      which states explain every answer; an answer that leaves none is a violation
    run        one schedule; `batch` many

What counts: an acknowledged change is seen by every later read, an answer "not there" is proven by the same model, and
"cannot say" (5xx, refused, no answer) is allowed only while a fault is on or was on a moment ago. A change that was
not acknowledged may have happened, or not; it can still happen until the faults it met are over and a grace more.
After the faults everything is served exactly. The seed gives the same faults and the same choices of every client;
the interleaving is the machine's.
"""
