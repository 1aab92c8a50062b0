"""Events of buckets: noted before a change is made, kept on the mountpath of its object, sent to receivers in order."""
