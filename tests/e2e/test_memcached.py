"""What holds with the memory store holds with memcached; and what only a server can do to us."""

from cache_servers import OverMemcached, OverMemcachedOnTcp, repeat

repeat(__name__, "test_session.py", OverMemcached, "Session")
repeat(__name__, "test_session.py", OverMemcachedOnTcp, "Session")
repeat(__name__, "test_semantics_table.py", OverMemcached, "Cases", "Failures")
repeat(__name__, "test_coalescing.py", OverMemcached, "Coalescing")
