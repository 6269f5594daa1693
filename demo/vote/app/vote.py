"""The front end: takes votes and queues them in Redis. Says which replica answered."""

import json
import socket

from flask import Flask, request
from redis import Redis

OPTIONS = ("cats", "dogs")
app = Flask(__name__)
redis = Redis(host="redis", socket_timeout=5)


@app.route("/", methods=["GET", "POST"])
def vote():
    taken = ""
    if request.method == "POST":
        choice = request.form["vote"]
        if choice not in OPTIONS:
            return f"no such option: {choice}\n", 400
        redis.rpush("votes", json.dumps({"voter": request.form.get("voter", "anyone"), "vote": choice}))
        taken = f"<p>Your vote: {choice}</p>"
    buttons = "".join(f'<button name="vote" value="{o}">{o}</button>' for o in OPTIONS)
    return f'{taken}<form method="post">{buttons}</form><p>Answered by {socket.gethostname()}</p>\n'


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=80)
