"""Random connections against a real server in one process, and a model of what must come. See `ais.net.connection`.

loop     an event loop with a clock of its own: sockets in pairs, random turns, no waiting
plan     random requests, as bytes, and what may be answered
world    two servers: routes of every kind, an application, one relays to the other
client   sends in random pieces, reads in random pieces, and checks every answer with h11
run      one seed
plants   faults to put back, which must be found
"""
