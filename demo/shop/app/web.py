"""Takes orders, hands them to the workers through the cache, and shows which are packed."""

from flask import Flask, request

from shop import cache, database

app = Flask(__name__)


@app.route("/health")
def health():
    return "ok\n"


@app.route("/orders", methods=["GET", "POST"])
def orders():
    db = database()
    try:
        cursor = db.cursor()
        if request.method == "POST":
            cursor.execute("INSERT INTO orders (item) VALUES (%s) RETURNING id", (request.form["item"],))
            number = cursor.fetchone()[0]
            db.commit()
            cache().rpush("to-pack", number)
            return f"order {number}\n"
        cursor.execute("SELECT id, item, packed_by IS NOT NULL FROM orders ORDER BY id")
        return "".join(f"{number} {item} {'packed' if packed else 'open'}\n" for number, item, packed in cursor.fetchall())
    finally:
        db.close()


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=8000)
