"""What all parts of the shop need: the way to the database and to the cache."""

import os

import pg8000
from redis import Redis


def database():
    with open(os.environ["DATABASE_PASSWORD_FILE"]) as file:
        password = file.read().strip()
    return pg8000.connect(host=os.environ["DATABASE_HOST"], user=os.environ["DATABASE_USER"], password=password)


def cache():
    return Redis(host=os.environ["CACHE_HOST"], socket_timeout=5)
