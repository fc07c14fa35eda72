"""While code is being fetched from a slow store nobody else waits, and what was judged before is judged again after."""

import concurrent.futures
import contextlib
import json
import threading

import pytest

from lib import functions, stores, waiting
from lib.daemon import ACCOUNT, REGION, ROLE

CODE = functions.package("def handler(event, context):\n    return 'fetched'\n")
PUBLISHER = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/test/abc"
REFUSED = "CodeVerificationFailedException"


@pytest.fixture
def store():
    running = stores.Store()
    yield running
    running.close()


@pytest.fixture
def own(store, start_daemon):
    keys = {"AWS_ACCESS_KEY_ID": "AKIDAEMON", "AWS_SECRET_ACCESS_KEY": "secret"}
    return start_daemon(config=f'[endpoints]\ns3 = "{store.endpoint}"\ntimeout_s = 60\n', environment=keys)


@contextlib.contextmanager
def fetching(store, key, call, **parameters):
    """Runs a call that takes `key` from the store, up to where the store has begun to answer; gives its future, and what lets
    the store go on."""
    go_on = threading.Event()

    def slowly(handler, number):
        go_on.wait(waiting.stretched(60))
        stores.whole(CODE)(handler, number)

    store.answers[key] = slowly
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            future = pool.submit(call, **parameters)
            waiting.until(lambda: future.done() or store.requests_for(key), "the store is asked")
            assert not future.done(), future.exception()
            yield future, go_on.set
        finally:
            go_on.set()


def from_store(key):
    return {"S3Bucket": "bucket", "S3Key": key}


def creating(daemon, store, python, name, **settings):
    """`fetching` for the creation of a function whose code lies under its name."""
    create = {"FunctionName": name, "Role": ROLE, "Runtime": python, "Handler": "index.handler", "Code": from_store(name)}
    return fetching(store, name, daemon.client().create_function, **create, **settings)


def publish_layer(daemon, name):
    content = {"ZipFile": functions.package({"a": "b"})}
    return daemon.client().publish_layer_version(LayerName=name, Content=content)["LayerVersionArn"]


def test_a_slow_download_keeps_nobody_from_layers(own, store, python):
    client, layer = own.client(), publish_layer(own, "one")
    with creating(own, store, python, "slow", Layers=[layer]) as (future, go_on):
        other = functions.Maker(own, python, ROLE)(functions.ECHO, Layers=[layer])
        assert other.invoke([1]).ok() == [1]
        publish_layer(own, "two")
        client.delete_layer_version(LayerName="two", VersionNumber=1)
        assert not future.done()
        go_on()
        future.result()
    function = functions.Function(client, "slow")
    function.wait()
    assert json.loads(function.invoke({}).body) == "fetched"


def test_a_layer_that_went_during_a_download_is_not_attached(own, store, python):
    client, layer = own.client(), publish_layer(own, "one")
    with creating(own, store, python, "slow", Layers=[layer]) as (future, go_on):
        client.delete_layer_version(LayerName="one", VersionNumber=1)
        go_on()
        text = functions.error_of(future.result)[2]
        assert text == f"Layer version {layer} does not exist."


def configure(client, policy):
    answer = client.create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [PUBLISHER]},
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": policy},
    )
    return answer["CodeSigningConfig"]["CodeSigningConfigArn"]


def enforce(client, config):
    client.update_code_signing_config(
        CodeSigningConfigArn=config, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"}
    )


def test_a_lock_that_closes_during_a_download_holds_for_what_was_fetched(own, store, python):
    client = own.client()
    config = configure(client, "Warn")
    make = functions.Maker(own, python, ROLE)
    function = make(functions.ECHO, CodeSigningConfigArn=config)
    before = function.configuration()["CodeSha256"]
    update = {"FunctionName": function.name, **from_store("update")}
    with fetching(store, "update", client.update_function_code, **update) as (future, go_on):
        enforce(client, config)
        go_on()
        assert functions.error_of(future.result)[1] == REFUSED
    assert function.configuration()["CodeSha256"] == before
    # One that is put on meanwhile.
    other = make(functions.ECHO)
    update = {"FunctionName": other.name, **from_store("other")}
    with fetching(store, "other", client.update_function_code, **update) as (future, go_on):
        client.put_function_code_signing_config(FunctionName=other.name, CodeSigningConfigArn=config)
        go_on()
        assert functions.error_of(future.result)[1] == REFUSED
    # And that of a function which is not there yet.
    config = configure(client, "Warn")
    with creating(own, store, python, "new", CodeSigningConfigArn=config) as (future, go_on):
        enforce(client, config)
        go_on()
        assert functions.error_of(future.result)[1] == REFUSED
    assert functions.error_of(client.get_function, FunctionName="new")[0] == 404
