"""Brings the database's tables to what the application expects; runs before anything else starts, and again without harm."""

from shop import database

STEPS = (
    "CREATE TABLE orders (id serial PRIMARY KEY, item text NOT NULL)",
    "ALTER TABLE orders ADD COLUMN packed_by text",
)

db = database()
cursor = db.cursor()
cursor.execute("CREATE TABLE IF NOT EXISTS migrations (step int PRIMARY KEY)")
cursor.execute("SELECT count(*) FROM migrations")
done = cursor.fetchone()[0]
for step, statement in list(enumerate(STEPS))[done:]:
    cursor.execute(statement)
    cursor.execute("INSERT INTO migrations VALUES (%s)", (step,))
    print("step", step, "done")
db.commit()
