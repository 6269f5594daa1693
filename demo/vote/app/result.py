"""The result page: counts what the database holds."""

import pg8000
from flask import Flask

app = Flask(__name__)


@app.route("/")
def result():
    db = pg8000.connect(host="db", user="postgres", password="postgres")
    try:
        cursor = db.cursor()
        cursor.execute("SELECT vote, count(*) FROM votes GROUP BY vote ORDER BY vote")
        return "".join(f"{vote}: {count}\n" for vote, count in cursor.fetchall()) or "no votes yet\n"
    except pg8000.ProgrammingError:           # the worker has not made the table yet
        return "no votes yet\n"
    finally:
        db.close()


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=80)
