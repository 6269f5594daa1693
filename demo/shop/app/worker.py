"""Packs what was ordered."""

import socket

from redis import exceptions

from shop import cache, database

queue = cache()
while True:
    try:
        taken = queue.blpop("to-pack", timeout=3)
    except exceptions.TimeoutError:
        continue
    if taken is None:
        continue
    db = database()
    db.cursor().execute("UPDATE orders SET packed_by = %s WHERE id = %s", (socket.gethostname(), int(taken[1])))
    db.commit()
    db.close()
