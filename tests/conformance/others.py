"""The recorded calls that are not Lambda's own: URLs of functions, their logs, and the bucket that code comes from.

Requests over HTTP go to what this run was given for the recorded address; calls of CloudWatch Logs go to the daemon,
those of S3 to a store beside it. Every other service is absent here: its calls are not made, and what they answered is
named in `unjudged.toml`. Answers come back in the form in which boto3 gives those of Lambda.
"""

import http.client
import ssl
import urllib.parse

import botocore.exceptions
from botocore.config import Config

from lib.daemon import aws_client

ANSWER_WITHIN_S = 60
# What the client of the recordings sent of its own accord; where an echoed request says otherwise, that counts.
OWN_HEADERS = {"accept": "*/*", "accept-encoding": "gzip, deflate"}
# The calls of S3 that put something there. What else the recordings ask of it, nobody here has put there.
OF_S3 = ("CreateBucket", "PutObject")


class Others:
    """The ways to all that is not Lambda, for one daemon and one store."""

    def __init__(self, daemon, region, store):
        config = Config(read_timeout=ANSWER_WITHIN_S, retries={"total_max_attempts": 1})
        self.daemon = daemon
        self.logs = aws_client("logs", daemon.endpoint, config, region=region, verify=daemon.ca)
        self.s3 = store
        self.context = ssl.create_default_context(cafile=daemon.ca)

    def call(self, service, operation, parameters):
        """An answer as a client library parses it, errors included; None for what is not made here."""
        client = {"logs": self.logs, "s3": self.s3}.get(service)
        if client is None or (service == "s3" and operation not in OF_S3):
            return None
        methods = {name: method for method, name in client.meta.method_to_api_mapping.items()}
        try:
            return getattr(client, methods[operation])(**parameters)
        except botocore.exceptions.ClientError as error:
            return error.response

    def fetch(self, method, url, headers, body, given, echoed):
        """One request over HTTP. `given` are the answers so far, `echoed` the headers that a recorded answer shows."""
        place = urllib.parse.urlsplit(place_of(url, given))
        if not place.netloc:
            return None
        sent = OWN_HEADERS | {name: value for name, value in echoed.items() if name in (*OWN_HEADERS, "user-agent")}
        sent = {"Host": place.hostname, **sent, **headers}
        host, port = self.daemon.address
        connection = http.client.HTTPSConnection(host, port, timeout=ANSWER_WITHIN_S, context=self.context)
        # The client of the recordings makes one slash of those at the beginning of a path.
        path = "/" + place.path.lstrip("/")
        try:
            connection.putrequest(method, f"{path}?{place.query}" if place.query else path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(message_body=body)
            answer = connection.getresponse()
            kept = {name.lower(): value for name, value in answer.getheaders()}
            meta = {"HTTPStatusCode": answer.status, "HTTPHeaders": kept}
            return {"Payload": answer.read(), "ResponseMetadata": meta}
        finally:
            connection.close()


def place_of(url, given):
    """Where a recorded request goes in this run: to the URL or the code that an answer of this run named last."""
    if url.startswith("<"):
        return next((one["Code"]["Location"] for one in reversed(given) if one and "Code" in one), "")
    ours = next((one["FunctionUrl"] for one in reversed(given) if one and "FunctionUrl" in one), "")
    if not ours:
        return ""
    recorded, mine = urllib.parse.urlsplit(url), urllib.parse.urlsplit(ours)
    return urllib.parse.urlunsplit((mine.scheme, mine.netloc, recorded.path, recorded.query, ""))


def forms_of_events(answer, requests):
    """What a recording may have been made from, where the answer is events of a log: the events, all messages, or those
    that name one of these requests."""
    if not isinstance(answer.get("events"), list):
        return
    yield answer["events"]
    messages = [event["message"].rstrip() for event in answer["events"]]
    yield {"logs": messages}
    yield {"logs": [message for message in messages if any(request in message for request in requests)]}
