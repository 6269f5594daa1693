"""Puts messages into the queue, kept on disk by the broker until somebody has done them."""

import os

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ["QUEUE_URL"]))
channel = connection.channel()
channel.queue_declare("work", durable=True)
for number in range(int(os.environ["MESSAGES"])):
    channel.basic_publish("", "work", str(number).encode(), pika.BasicProperties(delivery_mode=2))
connection.close()
print("all sent")
