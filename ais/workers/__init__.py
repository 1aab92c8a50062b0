"""A node of several processes: one that controls it, and workers that serve clients on the other cores."""
