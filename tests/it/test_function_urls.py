"""Function URLs: configured through the API, called as plain HTTP by host name and by path."""

import base64
import http.client
import json
import re
import ssl
from urllib.parse import urlsplit

import pytest

from lib import functions, wire
from lib.daemon import ROLE
from lib.functions import arn, error_of

ABSENT = (404, "ResourceNotFoundException", "The resource you requested does not exist.")
FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
# Returns the event, or does what the body says.
SERVER = """
import json

def handler(event, context):
    if event["rawPath"] == "/said":
        return json.loads(event["body"])
    if event["rawPath"] == "/fails":
        raise ValueError("on purpose")
    return event
"""
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/lambda/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


class Url:
    """The URL of a function, or of one of its aliases."""

    def __init__(self, daemon, function, auth="NONE", public=True, qualifier=None, **settings):
        self.daemon, self.function, self.client = daemon, function, function.client
        self.named = {"FunctionName": function.name, **({"Qualifier": qualifier} if qualifier else {})}
        self.made = self.client.create_function_url_config(**self.named, AuthType=auth, **settings)
        self.url = self.made["FunctionUrl"]
        self.host = urlsplit(self.url).netloc
        self.id = self.host.split(".")[0]
        if public:
            self.permit()

    def permit(self):
        self.client.add_permission(
            **self.named,
            StatementId="public",
            Action="lambda:InvokeFunctionUrl",
            Principal="*",
            FunctionUrlAuthType="NONE",
        )

    def call(self, method="GET", path="/", body=None, headers=None):
        headers = {"Host": self.host, **(headers or {})}
        return wire.request(self.daemon.address, method, path, body, headers)

    def by_path(self, method="GET", path="/", body=None, headers=None):
        return wire.request(self.daemon.address, method, f"/lambda-url/{self.id}{path}", body, headers)

    def say(self, answer):
        return self.call("POST", "/said", json.dumps(answer).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def url(daemon, make):
    return Url(daemon, make(SERVER))


# --- configuration ---


def test_a_url_is_configured_read_changed_listed_and_deleted(daemon, make):
    function = make(SERVER)
    client, named = function.client, {"FunctionName": function.name}
    assert error_of(client.get_function_url_config, **named) == ABSENT
    cors = {"AllowOrigins": ["*"], "MaxAge": 5}
    made = client.create_function_url_config(**named, AuthType="NONE", Cors=cors, InvokeMode="BUFFERED")
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert re.fullmatch(r"http://[a-z0-9]{32}\.lambda-url\.us-east-1\.localhost:\d+/", made["FunctionUrl"])
    assert (made["AuthType"], made["Cors"], made["InvokeMode"]) == ("NONE", cors, "BUFFERED")
    assert made["FunctionArn"] == arn(function.name)
    assert "LastModifiedTime" not in made
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", made["CreationTime"])
    status, code, text = error_of(client.create_function_url_config, **named, AuthType="NONE")
    assert (status, code) == (409, "ResourceConflictException")
    assert text == (
        f"Failed to create function url config for [functionArn = {arn(function.name)}]. Error message:  "
        "FunctionUrlConfig exists for this Lambda function"
    )
    changed = client.update_function_url_config(**named, AuthType="AWS_IAM", Cors={})
    got = client.get_function_url_config(**named)
    assert (got["AuthType"], got["InvokeMode"], got["FunctionUrl"]) == ("AWS_IAM", "BUFFERED", made["FunctionUrl"])
    assert "Cors" not in got and got["CreationTime"] == made["CreationTime"]
    assert got["LastModifiedTime"] == changed["LastModifiedTime"] > made["CreationTime"]
    client.delete_function_url_config(**named)
    for call in (client.get_function_url_config, client.delete_function_url_config, client.update_function_url_config):
        assert error_of(call, **named) == ABSENT
    assert client.list_function_url_configs(**named)["FunctionUrlConfigs"] == []
    again = client.create_function_url_config(**named, AuthType="NONE")
    assert again["FunctionUrl"] == made["FunctionUrl"]


def test_methods_that_cors_does_not_know_are_refused_and_nothing_changes(make):
    function = make(SERVER)
    client, named = function.client, {"FunctionName": function.name}
    for methods in (["FOO"], ["GET", "get"], ["TRACE"], [""]):
        status, code, text = error_of(
            client.create_function_url_config, **named, AuthType="NONE", Cors={"AllowMethods": methods}
        )
        assert (status, code) == (400, "InvalidParameterValueException") and "[GET, PUT, HEAD, POST, PATCH, DELETE, *]" in text
    assert error_of(client.get_function_url_config, **named) == ABSENT
    every = ["GET", "PUT", "HEAD", "POST", "PATCH", "DELETE"]
    client.create_function_url_config(**named, AuthType="NONE", Cors={"AllowMethods": every})
    assert error_of(client.update_function_url_config, **named, Cors={"AllowMethods": ["OPTION"]})[0] == 400
    assert client.get_function_url_config(**named)["Cors"] == {"AllowMethods": every}
    client.update_function_url_config(**named, Cors={"AllowMethods": ["*"]})
    assert client.get_function_url_config(**named)["Cors"] == {"AllowMethods": ["*"]}


def test_a_function_and_each_alias_have_urls_of_their_own(daemon, make):
    function = make(SERVER)
    client, named = function.client, {"FunctionName": function.name}
    client.publish_version(**named)
    for alias in ("a", "b"):
        client.create_alias(**named, Name=alias, FunctionVersion="1")
    urls = [Url(daemon, function), *(Url(daemon, function, qualifier=alias) for alias in ("a", "b"))]
    assert len({url.id for url in urls}) == 3
    listed, marker = [], None
    while True:
        page = client.list_function_url_configs(**named, MaxItems=2, **({"Marker": marker} if marker else {}))
        assert len(page["FunctionUrlConfigs"]) <= 2
        listed += [config["FunctionArn"] for config in page["FunctionUrlConfigs"]]
        marker = page.get("NextMarker")
        if not marker:
            break
    assert listed == [arn(function.name), arn(function.name, "a"), arn(function.name, "b")]
    client.delete_alias(**named, Name="a")
    assert error_of(client.get_function_url_config, **named, Qualifier="a") == ABSENT
    assert urls[1].call().status == 403
    assert [urls[0].call().status, urls[2].call().status] == [200, 200]


def test_what_does_not_exist_has_no_url(client, make):
    nobody = {"FunctionName": functions.unique()}
    missing = (404, "ResourceNotFoundException", "Function does not exist")
    assert error_of(client.create_function_url_config, **nobody, AuthType="NONE") == missing
    assert error_of(client.list_function_url_configs, **nobody) == missing
    assert error_of(client.get_function_url_config, **nobody) == ABSENT
    function = make(SERVER)
    create = client.create_function_url_config
    assert error_of(create, FunctionName=function.name, Qualifier="nobody", AuthType="NONE") == missing


def test_a_deleted_function_takes_its_url_with_it(daemon, make):
    url = Url(daemon, make(SERVER))
    assert url.call().status == 200
    url.client.delete_function(FunctionName=url.function.name)
    answer = url.call()
    assert (answer.status, answer.json, answer.code) == (403, {"Message": None}, "AccessDeniedException")


# --- requests ---


def test_a_request_becomes_an_event_of_format_2(url):
    answer = url.call(
        "POST",
        "/a%20b%2Fc?p1=v1&p1=%2Fv2&p2=x+y",
        b'{"x": 1}',
        {"Content-Type": "application/json", "X-Mixed": "Case", "Cookie": "a=1; b=2", "X-Forwarded-For": "6.6.6.6"},
    )
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    event = answer.json
    context = event["requestContext"]
    assert (event["version"], event["routeKey"], context["stage"]) == ("2.0", "$default", "$default")
    assert event["rawPath"] == context["http"]["path"] == "/a b%2Fc"
    assert event["rawQueryString"] == "p1=v1&p1=%2Fv2&p2=x+y"
    assert event["queryStringParameters"] == {"p1": "v1,/v2", "p2": "x y"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"x": 1}', False)
    headers = event["headers"]
    assert not any(name.startswith("x-amzn-tls") for name in headers)
    assert (headers["x-mixed"], headers["host"], headers["content-length"]) == ("Case", url.host, "8")
    assert headers["x-forwarded-for"] == context["http"]["sourceIp"] == "127.0.0.1"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("http", str(url.daemon.address[1]))
    assert "cookie" not in headers
    assert context["domainName"] == url.host.split(":")[0]
    assert (context["apiId"], context["domainPrefix"]) == (url.id, url.id)
    assert (context["accountId"], context["http"]["method"]) == ("anonymous", "POST")
    assert "authorizer" not in context
    assert context["requestId"] == answer.headers["x-amzn-requestid"]
    assert answer.headers["x-amzn-trace-id"] == headers["x-amzn-trace-id"]
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["time"])


def test_over_tls_a_function_hears_what_was_agreed_on_and_not_what_a_client_claims(start_daemon, python):
    daemon = start_daemon(config='[tls]\nself_signed = ["localhost"]\n')
    daemon.ca = str(daemon.state / "tls" / "ca.pem")
    url = Url(daemon, functions.Maker(daemon, python, ROLE)(SERVER))
    for most, version, suite in (
        (ssl.TLSVersion.TLSv1_2, "TLSv1.2", r"ECDHE-ECDSA-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)"),
        (ssl.TLSVersion.TLSv1_3, "TLSv1.3", r"TLS_(AES_(128|256)_GCM_SHA(256|384)|CHACHA20_POLY1305_SHA256)"),
    ):
        context = ssl.create_default_context(cafile=daemon.ca)
        context.maximum_version = most
        connection = http.client.HTTPSConnection(*daemon.address, timeout=30, context=context)
        connection.connect()
        agreed = connection.sock.cipher()[0]
        connection.request("GET", "/", headers={"Host": url.host, "X-Amzn-Tls-Version": "SSLv2", "X-Amzn-Tls-Cipher-Suite": "NONE"})
        headers = json.loads(connection.getresponse().read())["headers"]
        connection.close()
        assert (headers["x-forwarded-proto"], headers["x-amzn-tls-version"]) == ("https", version)
        assert headers["x-amzn-tls-cipher-suite"] == agreed and re.fullmatch(suite, agreed)


def test_every_method_reaches_the_function(url):
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"):
        assert url.call(method).json["requestContext"]["http"]["method"] == method
    head = url.call("HEAD")
    assert (head.status, head.body) == (200, b"")


def test_the_path_form_needs_no_name(url):
    answer = url.by_path("GET", "/x/y?z=1")
    assert (answer.status, answer.json["rawPath"], answer.json["rawQueryString"]) == (200, "/x/y", "z=1")
    assert answer.json["requestContext"]["domainName"] == url.host.split(":")[0]
    assert url.by_path(path="").json["rawPath"] == "/"
    assert wire.request(url.daemon.address, "GET", "/lambda-url/nobody/").status == 403


def test_bytes_arrive_in_base64(url):
    data = bytes(range(256))
    event = url.call("POST", "/", data, {"Content-Type": "application/octet-stream"}).json
    assert event["isBase64Encoded"] is True and base64.b64decode(event["body"]) == data
    assert "body" not in url.call("POST", "/", b"").json


def test_an_unknown_url_tells_nothing(daemon):
    answer = wire.request(daemon.address, "GET", "/", None, {"Host": f"{'a' * 32}.lambda-url.us-east-1.on.aws"})
    assert (answer.status, answer.json, answer.code) == (403, {"Message": None}, "AccessDeniedException")


def test_a_body_over_6_mb_is_refused(url):
    over = 6 * 1024 * 1024 + 1
    connection = http.client.HTTPConnection(*url.daemon.address, timeout=30)
    connection.putrequest("POST", "/", skip_host=True)
    connection.putheader("Host", url.host)
    connection.putheader("Content-Length", str(over))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    # In base64 it is more than a function takes.
    assert url.call("POST", "/", b"\xff" * (5 * 1024 * 1024)).status == 413


# --- answers ---


def test_a_function_says_status_headers_cookies_and_bytes(url):
    answer = url.say(
        {
            "statusCode": 201,
            "headers": {"Content-Type": "image/png", "My-Header": "Value"},
            "cookies": ["a=1", "b=2; Secure"],
            "body": base64.b64encode(b"\x89PNG").decode(),
            "isBase64Encoded": True,
        }
    )
    assert (answer.status, answer.body) == (201, b"\x89PNG")
    assert (answer.headers["content-type"], answer.headers["my-header"]) == ("image/png", "Value")
    assert answer.headers["set-cookie"] == "b=2; Secure"
    teapot = url.say({"statusCode": "418", "body": "i'm a teapot", "isBase64Encoded": False})
    assert (teapot.status, teapot.body) == (418, b"i'm a teapot")


@pytest.mark.parametrize(
    ("said", "shown"), [({"a": [1]}, b'{"a": [1]}'), ("hello", b"hello"), ([1, None], b"[1, null]"), (None, b"null")]
)
def test_any_other_json_is_the_body_of_a_200(url, said, shown):
    answer = url.say(said)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, shown, "application/json")


def test_failures_and_answers_that_cannot_be_sent_are_502(url):
    for answer in (url.call("GET", "/fails"), url.say({"statusCode": 42}), url.say({"statusCode": 200, "headers": 1})):
        assert (answer.status, answer.body) == (502, b"Internal Server Error")
        assert answer.headers["x-amzn-requestid"]


def test_a_function_that_is_switched_off_answers_429(url):
    url.client.put_function_concurrency(FunctionName=url.function.name, ReservedConcurrentExecutions=0)
    answer = url.call()
    assert answer.status == 429
    assert answer.json["message"] == "Rate Exceeded."
    assert answer.json["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_a_url_that_streams_says_that_it_cannot_yet(daemon, make):
    url = Url(daemon, make(SERVER), InvokeMode="RESPONSE_STREAM")
    answer = url.call()
    assert (answer.status, answer.code) == (501, "NotImplementedException")


# --- who may call ---


def test_a_public_url_needs_a_policy_that_says_so(daemon, make):
    url = Url(daemon, make(SERVER), public=False)
    answer = url.call()
    assert (answer.status, answer.json, answer.code) == (403, {"Message": FORBIDDEN}, "AccessDeniedException")
    url.client.add_permission(
        **url.named, StatementId="other", Action="lambda:InvokeFunction", Principal="*"
    )
    assert url.call().status == 403
    url.permit()
    assert url.call().status == 200
    url.client.remove_permission(**url.named, StatementId="public")
    assert url.call().status == 403


def test_a_denial_wins_over_a_permission(url):
    policy = json.loads(url.client.get_policy(**url.named)["Policy"])
    denial = {"Sid": "no", "Effect": "Deny", "Principal": "*", "Action": "lambda:InvokeFunctionUrl"}
    denial |= {"Resource": arn(url.function.name), "Condition": {"StringLike": {"aws:UserAgent": "bad*"}}}
    policy["Statement"].append(denial)
    url.client.put_resource_policy(ResourceArn=arn(url.function.name), Policy=json.dumps(policy))
    assert url.call(headers={"User-Agent": "good"}).status == 200
    assert url.call(headers={"User-Agent": "bad/1"}).status == 403


def test_the_policy_of_an_alias_is_its_own(daemon, make):
    function = make(SERVER)
    client, named = function.client, {"FunctionName": function.name}
    client.publish_version(**named)
    client.create_alias(**named, Name="live", FunctionVersion="1")
    url = Url(daemon, function, qualifier="live", public=False)
    client.add_permission(
        **named, StatementId="s", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE"
    )
    assert url.call().status == 403
    url.permit()
    assert url.call().status == 200


def test_nobody_is_asked_where_authentication_is_off(start_daemon, python):
    daemon = start_daemon(config='auth = "none"\n')
    maker = functions.Maker(daemon, python, "arn:aws:iam::000000000000:role/r")
    assert Url(daemon, maker(SERVER), public=False).call().status == 200


def test_a_url_with_iam_wants_a_signature_and_names_the_caller(daemon, make):
    url = Url(daemon, make(SERVER), auth="AWS_IAM", public=False)
    answer = url.call()
    assert (answer.status, answer.json) == (403, {"Message": FORBIDDEN})
    context = url.call(headers=SIGNED).json["requestContext"]
    assert context["authorizer"]["iam"]["accessKey"] == "AKIAIOSFODNN7EXAMPLE"
    assert context["accountId"] == context["authorizer"]["iam"]["accountId"] == "000000000000"


# --- web pages ---


def preflight(origin="https://page.example", method="PUT", asked="x-a"):
    return {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}


def test_preflights_are_answered_for_the_function(daemon, make):
    cors = {"AllowOrigins": ["https://page.example"], "AllowMethods": ["PUT"], "AllowHeaders": ["x-a"], "MaxAge": 9}
    url = Url(daemon, make(SERVER), Cors=cors | {"ExposeHeaders": ["x-b"], "AllowCredentials": True})
    answer = url.call("OPTIONS", headers=preflight())
    assert (answer.status, answer.body) == (200, b"")
    given = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
    assert given == {
        "access-control-allow-origin": "https://page.example",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PUT",
        "access-control-allow-headers": "x-a",
        "access-control-max-age": "9",
    }
    other = url.call("OPTIONS", headers=preflight("https://other.example"))
    assert "access-control-allow-origin" not in other.headers
    own = {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}}
    page = {"Content-Type": "application/json", "Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"}
    answer = url.call("POST", "/said", json.dumps(own).encode(), page)
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    assert answer.headers["access-control-expose-headers"] == "x-b"
    assert answer.headers["vary"] == "Origin"


def test_without_a_configuration_cors_is_the_functions_business(url):
    answer = url.call("OPTIONS", headers=preflight())
    assert answer.json["requestContext"]["http"]["method"] == "OPTIONS"
    assert "access-control-allow-origin" not in answer.headers


def test_urls_survive_a_crash(start_daemon, python):
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, "arn:aws:iam::000000000000:role/r")
    url = Url(daemon, maker(SERVER))
    daemon.kill()
    daemon.start()
    answer = url.call(headers={"Host": url.host})
    assert (answer.status, answer.json["requestContext"]["apiId"]) == (200, url.id)
