"""Lock libraries of Python, unchanged, over the keys that Circlet keeps as locks: locks.py PORT SCENARIO PROTOCOL

Every scenario passes against a plain redis-server too. Nothing here waits for a lock's time to be over but where that is
what is looked at.
"""

import asyncio
import sys
import threading
import time

import redis
import redis.asyncio
import redis_lock
import redlock
from pottery import Redlock
from redis.exceptions import LockError, LockNotOwnedError

PORT = int(sys.argv[1])
PROTOCOL = {} if sys.argv[3] == "default" else {"protocol": int(sys.argv[3])}


def connect(**more):
    return redis.Redis(port=PORT, **PROTOCOL, **more)


def raises(kind, call, *args, **more):
    try:
        call(*args, **more)
    except kind as error:
        return error
    raise AssertionError(f"{call} raised nothing")


def redis_py():
    r = connect()
    lock = r.lock("lock:orders", timeout=20)
    assert lock.acquire(blocking=False) and lock.locked() and lock.owned()
    other = r.lock("lock:orders", timeout=20)
    assert not other.acquire(blocking=False) and not other.owned() and other.locked()
    assert r.get("lock:orders") == lock.local.token
    assert 15_000 < r.pttl("lock:orders") <= 20_000 and 15 <= r.ttl("lock:orders") <= 20 and r.exists("lock:orders") == 1
    raises(LockError, other.release)
    lock.release()
    assert not lock.locked() and r.get("lock:orders") is None and r.pttl("lock:orders") == -2
    raises(LockError, lock.release)
    # Nothing of it is among the keys.
    assert r.dbsize() == 0 and r.keys() == []


def redis_py_times():
    r = connect()
    lock = r.lock("lock:orders", timeout=10)
    assert lock.acquire()
    assert lock.extend(20)
    assert 25_000 < r.pttl("lock:orders") <= 30_000, "beyond what was left"
    assert lock.extend(15, replace_ttl=True)
    assert 10_000 < r.pttl("lock:orders") <= 15_000, "from now"
    assert lock.reacquire()
    assert 5_000 < r.pttl("lock:orders") <= 10_000, "as at first"
    # Somebody frees it by force, and another one takes it.
    assert r.delete("lock:orders") == 1
    other = r.lock("lock:orders", timeout=10)
    assert other.acquire(blocking=False)
    raises(LockNotOwnedError, lock.extend, 5)
    raises(LockNotOwnedError, lock.reacquire)
    raises(LockNotOwnedError, lock.release)
    assert other.owned()
    other.release()


def redis_py_waiting():
    r = connect()
    with r.lock("lock:orders", timeout=20, thread_local=False) as held:
        assert held.owned()
        began = time.monotonic()
        assert not r.lock("lock:orders", timeout=20, blocking_timeout=0.4).acquire()
        assert 0.2 < time.monotonic() - began < 10
        raises(LockError, r.lock("lock:orders", timeout=20, blocking_timeout=0.1).__enter__)
        releases = threading.Timer(0.3, held.release)
        releases.start()
        waiting = r.lock("lock:orders", timeout=20, sleep=0.02)
        assert waiting.acquire(blocking_timeout=15)
        releases.join()
        waiting.release()
        assert held.acquire()
    assert r.exists("lock:orders") == 0


def redis_py_ends_in_time():
    r = connect()
    lock = r.lock("lock:orders", timeout=1.2)
    assert lock.acquire()
    assert r.lock("lock:orders", timeout=5).acquire(blocking_timeout=15), "its time is over"
    raises(LockNotOwnedError, lock.release)


def redis_py_many():
    """Many threads, one counter: nothing is lost."""
    total = 0

    def work():
        nonlocal total
        r = connect()
        for _ in range(10):
            with r.lock("lock:counter", timeout=30, sleep=0.005):
                seen = total
                time.sleep(0.0005)
                total = seen + 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert total == 80, total


def redis_py_async():
    async def run():
        r = redis.asyncio.Redis(port=PORT, **PROTOCOL)
        lock = r.lock("lock:orders", timeout=10)
        assert await lock.acquire() and await lock.owned()
        assert not await r.lock("lock:orders", timeout=10, blocking=False).acquire()
        assert await lock.extend(10)
        assert 15_000 < await r.pttl("lock:orders") <= 20_000
        await lock.release()
        async with r.lock("lock:orders", timeout=10):
            assert await r.exists("lock:orders")
        assert not await r.exists("lock:orders")
        await r.aclose()

    asyncio.run(run())


def pottery_redlock():
    lock = Redlock(key="orders", masters={connect()}, auto_release_time=10)
    # It chooses its keys itself: `redlock:orders`.
    assert lock.key == "redlock:orders"
    assert lock.acquire() and 5 < lock.locked() <= 10
    other = Redlock(key="orders", masters={connect()}, auto_release_time=10)
    assert not other.acquire(blocking=False) and not other.locked()
    lock.extend()
    assert lock.locked() > 5
    lock.release()
    assert not lock.locked()
    with Redlock(key="orders", masters={connect()}) as held:
        assert held.locked()
    raises(Exception, lock.release)


def python_redis_lock():
    r = connect()
    lock = redis_lock.Lock(r, "orders", expire=10)
    assert lock.acquire(blocking=False) and r.get("lock:orders").decode() == lock.id
    other = redis_lock.Lock(r, "orders", expire=10)
    assert not other.acquire(blocking=False)
    lock.extend(20)
    assert 15 <= r.ttl("lock:orders") <= 20
    raises(redis_lock.NotAcquired, other.release)
    # Who waits is woken by a list beside the lock.
    got = []
    waits = threading.Thread(target=lambda: got.append(redis_lock.Lock(connect(), "orders", expire=30).acquire(timeout=25)))
    waits.start()
    time.sleep(0.2)
    began = time.monotonic()
    lock.release()
    waits.join()
    assert got == [True] and time.monotonic() - began < 15
    redis_lock.Lock(r, "orders").reset()
    assert r.exists("lock:orders") == 0


def redlock_py():
    manager = redlock.Redlock([connect()])
    lock = manager.lock("lock:orders", 10_000)
    assert lock and 0 < lock.validity < 10_000
    assert not redlock.Redlock([connect()], retry_count=1).lock("lock:orders", 10_000)
    manager.unlock(lock)
    assert manager.lock("lock:orders", 10_000)


def refusals():
    r = connect()
    for call in (lambda: r.setnx("lock:orders", "me"), lambda: r.set("lock:orders", "me"), lambda: r.incr("lock:orders")):
        error = raises(redis.ResponseError, call)
        assert "SET key value NX PX" in str(error), error
    assert r.set("orders", "a key as any other") and r.get("orders")


globals()[sys.argv[2]]()
