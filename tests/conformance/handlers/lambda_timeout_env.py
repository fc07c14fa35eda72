"""Keeps a file in /tmp and a number in memory, and sleeps on demand."""

import time

number = 0


def handler(event, context):
    global number
    if "write-file" in event:
        with open("/tmp/temp-store", "w") as file:
            file.write(event["write-file"])
    elif "read-file" in event:
        with open("/tmp/temp-store") as file:
            return {"content": file.read()}
    elif "set-number" in event:
        number = event["set-number"]
    elif "read-number" in event:
        return {"number": number}
    elif "sleep" in event:
        time.sleep(event["sleep"])
