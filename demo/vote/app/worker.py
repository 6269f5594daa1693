"""Takes votes out of Redis and writes them to PostgreSQL: one vote a voter, the last one counts.

Redis has replicas that know nothing of each other, and a front end may have queued at any of them: all are asked in turn.
"""

import json
import socket
import time

import pg8000
from redis import Redis
from redis.exceptions import RedisError


def connect():
    while True:
        try:
            db = pg8000.connect(host="db", user="postgres", password="postgres")
            db.cursor().execute("CREATE TABLE IF NOT EXISTS votes (voter text PRIMARY KEY, vote text NOT NULL)")
            db.commit()
            return db
        except Exception as e:                      # not up yet: keep trying
            print("waiting for db:", e)
            time.sleep(1)


def queued():
    """The next votes, one from each replica that has any."""
    for address in sorted({info[4][0] for info in socket.getaddrinfo("redis", 6379, socket.AF_INET)}):
        vote = Redis(host=address, socket_timeout=5).lpop("votes")
        if vote:
            yield json.loads(vote)


def main():
    db = connect()
    print("connected")
    while True:
        try:
            votes = list(queued())
        except (RedisError, OSError) as e:
            print("waiting for redis:", e)
            votes = []
        for vote in votes:
            db.cursor().execute(
                "INSERT INTO votes VALUES (%s, %s) ON CONFLICT (voter) DO UPDATE SET vote = excluded.vote",
                (vote["voter"], vote["vote"]))
            db.commit()
            print("stored the vote of", vote["voter"])
        if not votes:
            time.sleep(0.3)


if __name__ == "__main__":
    main()
