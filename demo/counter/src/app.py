"""A page that counts its visits in Redis."""

from flask import Flask
from redis import Redis

app = Flask(__name__)
redis = Redis(host="redis", port=6379)


@app.route("/")
def visit():
    count = redis.incr("visits")
    return f"This page was visited {count} times.\n"


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
