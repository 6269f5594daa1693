"""Does one message at a time, and tells the broker when it is done."""

import os
import socket
import time

import pika

channel = pika.BlockingConnection(pika.URLParameters(os.environ["QUEUE_URL"])).channel()
channel.queue_declare("work", durable=True)
channel.basic_qos(prefetch_count=1)


def work(channel, method, _properties, body):
    time.sleep(0.1)
    with open(os.path.join(os.environ["RESULTS"], socket.gethostname()), "a") as file:
        print(body.decode(), file=file)
    channel.basic_ack(method.delivery_tag)


channel.basic_consume("work", work)
channel.start_consuming()
