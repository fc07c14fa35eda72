"""Greets by name. The smallest useful function: one file, no build."""


def handler(event, context):
    name = event.get("name", "world")
    print("greeting", name, "for request", context.aws_request_id)
    return {"message": "Hello, %s, from Python." % name}
