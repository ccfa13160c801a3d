"""What holds with the memory store holds with Redis."""

from cache_servers import OverRedis, OverRedisOnTcp, repeat

repeat(__name__, "test_session.py", OverRedis, "Session")
repeat(__name__, "test_session.py", OverRedisOnTcp, "Session")
repeat(__name__, "test_semantics_table.py", OverRedis, "Cases", "Failures")
repeat(__name__, "test_coalescing.py", OverRedis, "Coalescing")
