"""Event source mappings as an unmodified client sees them: options by source, states, doubles, lists, tags, endings.

Nothing polls a source yet, so no source has to exist: what is tested is what is kept and what is refused.
"""

import concurrent.futures
import contextlib
import json
import re

import pytest

from lib import functions, waiting, wire
from lib.daemon import ACCOUNT, REGION, ROLE
from lib.functions import UUID, arn, error_of, unique

CODE = "def handler(event, context):\n    return 1\n"
NOT_FOUND = (404, "ResourceNotFoundException")
INVALID = (400, "InvalidParameterValueException")
CONFLICT = (409, "ResourceConflictException")
NO_POLLERS = "This build of Hearth keeps event source mappings but does not poll event sources yet."
SECRET = [{"Type": "BASIC_AUTH", "URI": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:broker"}]
POLLERS = {"ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 2}}


def source(service, resource):
    return {"EventSourceArn": f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"}


def fresh(kind):
    """What a mapping of this kind needs, with a source that no other test has."""
    name = unique("source")
    return {
        "sqs": lambda: source("sqs", name),
        "fifo": lambda: source("sqs", f"{name}.fifo"),
        "kinesis": lambda: source("kinesis", f"stream/{name}") | {"StartingPosition": "LATEST"},
        "dynamodb": lambda: source("dynamodb", f"table/{name}/stream/2026-01-01T00:00:00.000")
        | {"StartingPosition": "TRIM_HORIZON"},
        "msk": lambda: source("kafka", f"cluster/{name}/0-1") | {"StartingPosition": "LATEST", "Topics": ["topic"]},
        "kafka": lambda: {
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [f"{name}:9092"]}},
            "StartingPosition": "LATEST",
            "Topics": ["topic"],
            "SourceAccessConfigurations": SECRET,
        },
        "mq": lambda: source("mq", f"broker:{name}:b-1") | {"Queues": ["queue"], "SourceAccessConfigurations": SECRET},
        "docdb": lambda: source("rds", f"cluster:{name}")
        | {
            "StartingPosition": "LATEST",
            "SourceAccessConfigurations": SECRET,
            "DocumentDBEventSourceConfig": {"DatabaseName": "db", "CollectionName": "things"},
        },
    }[kind]()


KINDS = ("sqs", "fifo", "kinesis", "dynamodb", "msk", "kafka", "mq", "docdb")
QUEUES, STREAMS, KAFKAS = {"sqs", "fifo"}, {"kinesis", "dynamodb"}, {"msk", "kafka"}
ON_FAILURE = {"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:failed"}}
# Option, a value for it, its name in refusals, who takes it, who takes it with pollers of its own only.
OPTIONS = [
    ("MaximumBatchingWindowInSeconds", 3, None, set(KINDS) - {"fifo"}, set()),
    ("ParallelizationFactor", 2, "parallelizationFactor", STREAMS, set()),
    ("TumblingWindowInSeconds", 30, "tumblingWindowInSeconds", STREAMS, set()),
    ("MaximumRecordAgeInSeconds", 60, "maximumRecordAgeInSeconds", STREAMS, KAFKAS),
    ("MaximumRetryAttempts", 3, "maximumRetryAttempts", STREAMS, KAFKAS),
    ("BisectBatchOnFunctionError", True, "bisectBatchOnFunctionError", STREAMS, KAFKAS),
    ("DestinationConfig", ON_FAILURE, "DestinationConfig", STREAMS | KAFKAS, set()),
    ("FunctionResponseTypes", ["ReportBatchItemFailures"], "functionResponseTypes", QUEUES | STREAMS, KAFKAS),
    ("FilterCriteria", {"Filters": [{"Pattern": '{"a": ["x"]}'}]}, None, set(KINDS), set()),
    ("ScalingConfig", {"MaximumConcurrency": 2}, "scalingConfig", QUEUES, set()),
    (
        "ProvisionedPollerConfig",
        {"MinimumPollers": 2, "MaximumPollers": 3},
        "provisionedPollerConfig",
        QUEUES | KAFKAS,
        set(),
    ),
    ("MetricsConfig", {"Metrics": ["EventCount"]}, None, set(KINDS), set()),
    ("LoggingConfig", {"SystemLogLevel": "WARN"}, "loggingConfig", set(), KAFKAS),
    ("KMSKeyArn", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k", None, set(KINDS), set()),
    ("Topics", ["topic"], "topics", KAFKAS, set()),
    ("Queues", ["queue"], "queues", {"mq"}, set()),
    ("SourceAccessConfigurations", SECRET, "sourceAccessConfigurations", {"kafka", "mq", "docdb"}, set()),
    (
        "DocumentDBEventSourceConfig",
        {"DatabaseName": "db", "FullDocument": "UpdateLookup"},
        "documentDBEventSourceConfig",
        {"docdb"},
        set(),
    ),
    (
        "AmazonManagedKafkaEventSourceConfig",
        {"ConsumerGroupId": "group"},
        "amazonManagedKafkaEventSourceConfig",
        {"msk"},
        set(),
    ),
    (
        "SelfManagedKafkaEventSourceConfig",
        {"ConsumerGroupId": "group"},
        "selfManagedKafkaEventSourceConfig",
        {"kafka"},
        set(),
    ),
]


REFUSALS = {
    ("MaximumBatchingWindowInSeconds", "fifo"): "Batching window is not supported for FIFO queues",
    (
        "SourceAccessConfigurations",
        "msk",
    ): "Unsupported source access configuration type BASIC_AUTH for given event source mapping type.",
}


def refusal(name):
    shown = name if name == "DestinationConfig" else f"'{name}'"
    return f"Unsupported {shown} parameter for given event source mapping type."


@pytest.fixture(scope="module")
def function(daemon, python):
    """One function for all tests that only need one to exist."""
    with functions.making(daemon, python) as maker:
        yield maker(CODE)


@pytest.fixture
def mapper(function):
    """Creates mappings to that function, or another, and deletes them afterwards."""
    created = []

    def create(client=None, **parameters):
        answer = (client or function.client).create_event_source_mapping(
            **{"FunctionName": function.name, **parameters}
        )
        created.append(answer["UUID"])
        return answer

    create.client = function.client
    yield create
    for uuid in created:
        with contextlib.suppress(function.client.exceptions.ResourceNotFoundException):
            function.client.delete_event_source_mapping(UUID=uuid)


def settings(answer):
    return {key: value for key, value in answer.items() if key not in ("ResponseMetadata", "LastModified")}


# --- options ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option, value, name, takers, provisioned", OPTIONS, ids=[option[0] for option in OPTIONS])
def test_each_kind_of_source_takes_its_own_options_and_no_others(kind, option, value, name, takers, provisioned, mapper):
    given = fresh(kind) | {option: value}
    if kind in takers:
        assert mapper(**given)[option] == value
    elif kind in provisioned:
        *problem, text = error_of(mapper, **given)
        assert (tuple(problem), text) == (INVALID, refusal(name))
        assert mapper(**given, **POLLERS)[option] == value
    else:
        *problem, text = error_of(mapper, **given)
        assert (tuple(problem), text) == (INVALID, REFUSALS.get((option, kind)) or refusal(name))


@pytest.mark.parametrize("kind, size", [(kind, 10 if kind in QUEUES else 100) for kind in KINDS])
def test_what_is_not_given_has_the_default_of_its_source(kind, size, function, mapper):
    given = fresh(kind)
    answer = mapper(**given)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert re.fullmatch(UUID, answer["UUID"])
    expected = {
        **given,
        "BatchSize": size,
        "FunctionArn": arn(function.name),
        "UUID": answer["UUID"],
        "EventSourceMappingArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{answer['UUID']}",
        "State": "Creating",
        "StateTransitionReason": "User action" if kind in STREAMS else "USER_INITIATED",
    }
    if kind not in QUEUES:
        expected["LastProcessingResult"] = "No records processed"
    if kind in QUEUES | STREAMS:
        expected |= {"MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []}
    if kind in STREAMS:
        expected |= {
            "ParallelizationFactor": 1,
            "DestinationConfig": {"OnFailure": {}},
            "MaximumRecordAgeInSeconds": -1,
            "BisectBatchOnFunctionError": False,
            "MaximumRetryAttempts": -1,
            "TumblingWindowInSeconds": 0,
        }
    if kind == "msk":
        expected["AmazonManagedKafkaEventSourceConfig"] = {"ConsumerGroupId": answer["UUID"]}
    if kind == "kafka":
        expected["SelfManagedKafkaEventSourceConfig"] = {"ConsumerGroupId": answer["UUID"]}
    if kind == "docdb":
        expected["DocumentDBEventSourceConfig"] = given["DocumentDBEventSourceConfig"] | {"FullDocument": "Default"}
    assert settings(answer) == expected


PATTERN = json.dumps({"a": ["\u20ac" * 4000]}, ensure_ascii=False)
# Each member within its own bounds.
LARGE = {
    "FilterCriteria": {"Filters": [{"Pattern": PATTERN}] * 10},
    "KMSKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:" + "k" * 9900,
    "Tags": {f"{number:02}" + "k" * 120: "v" * 256 for number in range(50)},
}
QUEUE_MODE = {"SelfManagedKafkaEventSourceConfig": {"ConsumptionMode": "Queue"}}
SCHEMAS = {"SchemaRegistryURI": "https://registry.example", "EventRecordFormat": "JSON"}


@pytest.mark.parametrize(
    "kind, given, text",
    [
        ("sqs", {"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0"),
        ("fifo", {"BatchSize": 11}, "Maximum batch size must be between 1 and 10 inclusive"),
        ("fifo", {"MaximumBatchingWindowInSeconds": 1}, "Batching window is not supported for FIFO queues"),
        ("sqs", {"StartingPosition": "LATEST"}, "StartingPosition is not valid for SQS event sources."),
        ("mq", {"StartingPosition": "LATEST"}, "Unsupported 'startingPosition' parameter"),
        ("dynamodb", {"StartingPosition": "AT_TIMESTAMP"}, "Unsupported starting position for arn type: arn:aws:dyn"),
        ("kinesis", {"StartingPosition": "AT_TIMESTAMP"}, "Need to specify a timestamp"),
        ("kinesis", {"StartingPositionTimestamp": 1700000000}, "AT_TIMESTAMP only"),
        (
            "kinesis",
            {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 9000000000},
            "cannot be in the future",
        ),
        ("kinesis", {"StartingPosition": None}, "Value null at 'startingPosition'"),
        ("msk", {"StartingPosition": None}, "Value null at 'startingPosition'"),
        ("docdb", {"StartingPosition": None}, "Value null at 'startingPosition'"),
        ("kinesis", {"MaximumRecordAgeInSeconds": 59}, "MaximumRecordAgeInSeconds must be either -1 (forever) or"),
        ("kinesis", {"DestinationConfig": {"OnSuccess": ON_FAILURE["OnFailure"]}}, "Unsupported DestinationConfig"),
        (
            "kinesis",
            {"DestinationConfig": {"OnFailure": {"Destination": arn("other")}}},
            f"onFailure=OnFailure(destination={arn('other')})) is invalid.",
        ),
        ("kinesis", {"DestinationConfig": {"OnFailure": {"Destination": "kafka://failed"}}}, "is invalid."),
        ("msk", {"DestinationConfig": ON_FAILURE, "MaximumRetryAttempts": 11, **POLLERS}, "at most 10"),
        ("kafka", {"SourceAccessConfigurations": None}, "Required 'sourceAccessConfigurations' parameter is missing."),
        ("kafka", {"Topics": None}, "Required 'topics' parameter is missing."),
        ("mq", {"Queues": None}, "Required 'queues' parameter is missing."),
        ("mq", {"SourceAccessConfigurations": []}, "BASIC_AUTH is missing"),
        ("docdb", {"DocumentDBEventSourceConfig": {}}, "Required 'databaseName' parameter is missing."),
        ("docdb", {"SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "/"}]}, "VIRTUAL_HOST"),
        ("kafka", {"SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "/"}]}, "VIRTUAL_HOST"),
        ("msk", {"SourceAccessConfigurations": SECRET}, "BASIC_AUTH"),
        ("kafka", QUEUE_MODE, "Unsupported 'startingPosition' parameter"),
        (
            "kafka",
            {**QUEUE_MODE, "StartingPosition": None, "MaximumBatchingWindowInSeconds": 1},
            "Unsupported 'maximumBatchingWindowInSeconds' parameter",
        ),
        (
            "kafka",
            {**QUEUE_MODE, **POLLERS, "StartingPosition": None, "MaximumRetryAttempts": -1},
            "between 0 and 10000",
        ),
        (
            "kafka",
            {"SelfManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": SCHEMAS}},
            "Unsupported 'schemaRegistryConfig' parameter",
        ),
        (
            "kafka",
            {"SelfManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": {"EventRecordFormat": "JSON"}}, **POLLERS},
            "Required 'schemaRegistryURI' parameter is missing.",
        ),
        ("sqs", {"ProvisionedPollerConfig": {"MinimumPollers": 1}}, "MinimumPollers must be between 2 and 200"),
        ("msk", {"ProvisionedPollerConfig": {"MaximumPollers": 2001}}, "MaximumPollers must be between 1 and 2000"),
        (
            "sqs",
            {"ProvisionedPollerConfig": {"MinimumPollers": 9, "MaximumPollers": 3}},
            "MinimumPollers must be less than or equal to MaximumPollers.",
        ),
        ("sqs", {"ProvisionedPollerConfig": {"PollerGroupName": "g"}}, "Unsupported 'pollerGroupName' parameter"),
        (
            "sqs",
            {"ProvisionedPollerConfig": {"MinimumPollers": 2}, "ScalingConfig": {"MaximumConcurrency": 2}},
            "cannot be specified together",
        ),
        ("sqs", {"FilterCriteria": {"Filters": [{"Pattern": '{"a": ["x"]}'}] * 11}}, "At most 10 filters"),
        ("sqs", LARGE, "must be smaller than 131072 bytes"),
        ("sqs", {"FunctionName": "absent"}, "Function does not exist"),
        ("sqs", {"EventSourceArn": None}, "Unrecognized event source."),
        ("sqs", {"EventSourceArn": "arn:aws:s3:::bucket"}, "Unrecognized event source."),
        ("kafka", source("sqs", "both"), "Only one of EventSourceArn and SelfManagedEventSource"),
    ],
)
def test_what_a_mapping_cannot_be_is_refused_with_the_reason(kind, given, text, mapper):
    wanted = fresh(kind) | given
    *problem, told = error_of(mapper, **{key: value for key, value in wanted.items() if value is not None})
    assert tuple(problem) == INVALID
    assert text in told


@pytest.mark.parametrize(
    "kind, given",
    [
        ("sqs", {"BatchSize": 10000, "MaximumBatchingWindowInSeconds": 300}),
        ("fifo", {"MaximumBatchingWindowInSeconds": 0}),
        ("kinesis", {"MaximumRecordAgeInSeconds": -1, "MaximumRetryAttempts": 10000}),
        ("kinesis", {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}}}),
        ("kafka", {"DestinationConfig": {"OnFailure": {"Destination": "kafka://failed"}}}),
        ("kafka", {"SourceAccessConfigurations": []}),
        ("mq", {"SourceAccessConfigurations": [*SECRET, {"Type": "VIRTUAL_HOST", "URI": "/"}]}),
        ("msk", {"ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 2000, "PollerGroupName": "g"}}),
        (
            "msk",
            {
                "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g", "SchemaRegistryConfig": SCHEMAS},
                **POLLERS,
            },
        ),
    ],
)
def test_what_a_mapping_can_be_is_kept(kind, given, mapper):
    answer = mapper(**fresh(kind) | given)
    kept = mapper.client.get_event_source_mapping(UUID=answer["UUID"])
    assert {key: kept[key] for key in given} == given


def test_a_stream_may_start_at_a_moment(mapper):
    answer = mapper(**fresh("kinesis") | {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1700000000.25})
    assert answer["StartingPosition"] == "AT_TIMESTAMP"
    assert answer["StartingPositionTimestamp"].timestamp() == 1700000000.25


def test_a_mapping_in_queue_mode_starts_where_its_group_is(mapper):
    given = fresh("kafka") | QUEUE_MODE
    del given["StartingPosition"]
    answer = mapper(**given)
    assert "StartingPosition" not in answer
    assert answer["SelfManagedKafkaEventSourceConfig"]["ConsumptionMode"] == "Queue"


def test_pollers_of_its_own_have_numbers_by_source(mapper):
    some = {"ProvisionedPollerConfig": {"MaximumPollers": 5}}
    assert mapper(**fresh("sqs"), **some)["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": 5}
    some = {"ProvisionedPollerConfig": {"MinimumPollers": 7}}
    assert mapper(**fresh("msk"), **some)["ProvisionedPollerConfig"] == {"MinimumPollers": 7, "MaximumPollers": 200}


def test_a_slow_function_cannot_read_from_what_waits_less(make, mapper):
    slow = make(CODE, Timeout=841)
    mapper(**fresh("kinesis"), FunctionName=slow.name)
    for kind in ("msk", "kafka", "mq", "docdb"):
        *problem, text = error_of(mapper, **fresh(kind), FunctionName=slow.name)
        assert tuple(problem) == INVALID
        assert "841" in text and "840" in text


# --- filters ---


@pytest.mark.parametrize(
    "pattern",
    [
        '{"body": {"a": ["x", 1, true, null]}}',
        '{"a": [{"prefix": "x"}, {"suffix": "y"}, {"anything-but": ["z"]}, {"equals-ignore-case": "W"}]}',
        '{"a": [{"numeric": [">", 0, "<=", 5]}], "b": [{"exists": false}]}',
        '{"$or": [{"a": ["x"]}, {"b": ["y"]}]}',
    ],
)
def test_a_filter_pattern_is_kept_as_it_was_given(pattern, mapper):
    filters = {"Filters": [{"Pattern": pattern}]}
    answer = mapper(**fresh("sqs"), FilterCriteria=filters)
    assert mapper.client.get_event_source_mapping(UUID=answer["UUID"])["FilterCriteria"] == filters


@pytest.mark.parametrize(
    "pattern",
    ["", "text", "{}", '{"a": "x"}', '{"a": []}', '{"a": [{"wildcard": "x*"}]}', '{"a": [{"numeric": ["=", "1"]}]}'],
)
def test_what_is_no_filter_pattern_is_refused(pattern, mapper):
    filters = {"Filters": [{"Pattern": '{"a": ["x"]}'}, {"Pattern": pattern}]}
    *problem, text = error_of(mapper, **fresh("sqs"), FilterCriteria=filters)
    assert (tuple(problem), text) == (INVALID, "Invalid filter pattern definition.")
    uuid = mapper(**fresh("sqs"))["UUID"]
    *problem, text = error_of(mapper.client.update_event_source_mapping, UUID=uuid, FilterCriteria=filters)
    assert (tuple(problem), text) == (INVALID, "Invalid filter pattern definition.")


def test_data_of_a_stream_is_filtered_as_json_only(mapper):
    filters = {"Filters": [{"Pattern": '{"data": ["plain"]}'}]}
    assert error_of(mapper, **fresh("kinesis"), FilterCriteria=filters)[:2] == INVALID
    mapper(**fresh("mq"), FilterCriteria=filters)


# --- states ---


def test_a_mapping_settles_disabled_and_says_why(mapper):
    created = mapper(**fresh("sqs"))
    assert (created["State"], created["StateTransitionReason"]) == ("Creating", "USER_INITIATED")
    found = mapper.client.get_event_source_mapping(UUID=created["UUID"])
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert (found["State"], found["StateTransitionReason"]) == ("Disabled", NO_POLLERS)
    same = {"State", "StateTransitionReason"}
    assert {k: v for k, v in settings(found).items() if k not in same} == {
        k: v for k, v in settings(created).items() if k not in same
    }
    assert found["LastModified"] == created["LastModified"]


def test_a_mapping_that_is_to_be_disabled_is(mapper):
    created = mapper(**fresh("sqs"), Enabled=False)
    assert (created["State"], created["StateTransitionReason"]) == ("Disabled", "USER_INITIATED")
    uuid = created["UUID"]
    assert mapper.client.get_event_source_mapping(UUID=uuid)["StateTransitionReason"] == "USER_INITIATED"
    states = []
    for given in ({"Enabled": True}, {"BatchSize": 2}, {"Enabled": False}, {"Enabled": False}):
        answer = mapper.client.update_event_source_mapping(UUID=uuid, **given)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
        states.append(answer["State"])
    assert states == ["Enabling", "Updating", "Disabling", "Updating"]
    found = mapper.client.get_event_source_mapping(UUID=uuid)
    assert (found["State"], found["StateTransitionReason"]) == ("Disabled", "USER_INITIATED")


def test_deployment_tools_see_every_change_end(mapper):
    """The states that Terraform's provider waits for: Enabled or Disabled after a change, nothing after a deletion."""
    uuid = mapper(**fresh("kinesis"))["UUID"]

    def settled():
        return mapper.client.get_event_source_mapping(UUID=uuid)["State"] in ("Enabled", "Disabled")

    waiting.until(settled, "the mapping is created", within_s=20)
    mapper.client.update_event_source_mapping(UUID=uuid, Enabled=True)
    waiting.until(settled, "the mapping is updated", within_s=20)
    assert mapper.client.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    assert error_of(mapper.client.get_event_source_mapping, UUID=uuid)[:2] == NOT_FOUND


def test_mappings_survive_a_restart(start_daemon, python):
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, ROLE)
    name = maker(CODE).name
    given = fresh("kinesis") | {"Tags": {"a": "b"}, "FilterCriteria": {"Filters": [{"Pattern": '{"a": [1]}'}]}}
    created = daemon.client().create_event_source_mapping(FunctionName=name, **given)
    before = settings(daemon.client().get_event_source_mapping(UUID=created["UUID"]))
    daemon.kill()
    daemon.start()
    assert settings(daemon.client().get_event_source_mapping(UUID=created["UUID"])) == before
    assert daemon.client().list_tags(Resource=created["EventSourceMappingArn"])["Tags"] == {"a": "b"}


# --- updates ---


def test_an_update_changes_what_it_names_and_nothing_else(mapper):
    created = mapper(**fresh("kinesis"), BatchSize=5, DestinationConfig=ON_FAILURE)
    changed = {
        "BatchSize": 7,
        "ParallelizationFactor": 3,
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 2,
        "MaximumRecordAgeInSeconds": 90,
        "TumblingWindowInSeconds": 60,
        "MaximumBatchingWindowInSeconds": 4,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    mapper.client.update_event_source_mapping(UUID=created["UUID"], **changed)
    found = mapper.client.get_event_source_mapping(UUID=created["UUID"])
    expected = settings(created) | changed | {"State": "Disabled", "StateTransitionReason": NO_POLLERS}
    assert settings(found) == expected
    assert found["LastModified"] >= created["LastModified"]


def test_what_is_given_empty_is_taken_away(mapper):
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
    given = {
        "ScalingConfig": {"MaximumConcurrency": 5},
        "FilterCriteria": {"Filters": [{"Pattern": '{"a": ["x"]}'}]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "KMSKeyArn": key,
        "MetricsConfig": {"Metrics": ["EventCount"]},
    }
    uuid = mapper(**fresh("sqs"), **given)["UUID"]
    empty = {
        "ScalingConfig": {},
        "FilterCriteria": {"Filters": []},
        "FunctionResponseTypes": [],
        "KMSKeyArn": "",
        "MetricsConfig": {"Metrics": []},
    }
    answer = mapper.client.update_event_source_mapping(UUID=uuid, **empty)
    assert answer["FunctionResponseTypes"] == []
    assert not {"ScalingConfig", "FilterCriteria", "KMSKeyArn", "MetricsConfig"} & set(answer)
    uuid = mapper(**fresh("kinesis"), DestinationConfig=ON_FAILURE)["UUID"]
    answer = mapper.client.update_event_source_mapping(UUID=uuid, DestinationConfig={"OnFailure": {"Destination": ""}})
    assert answer["DestinationConfig"] == {"OnFailure": {}}


def test_an_update_is_judged_with_what_is_there(mapper):
    uuid = mapper(**fresh("sqs"), BatchSize=50, MaximumBatchingWindowInSeconds=5)["UUID"]
    update = mapper.client.update_event_source_mapping
    for given in (
        {"MaximumBatchingWindowInSeconds": 0},
        {"ParallelizationFactor": 2},
        {"DestinationConfig": ON_FAILURE},
        {"FunctionName": "absent"},
    ):
        assert error_of(update, UUID=uuid, **given)[:2] == INVALID
    assert update(UUID=uuid, BatchSize=10, MaximumBatchingWindowInSeconds=0)["BatchSize"] == 10


def test_without_pollers_of_its_own_a_kafka_mapping_has_what_others_have(mapper):
    provisioned = {"MaximumRetryAttempts": 3, "FunctionResponseTypes": ["ReportBatchItemFailures"], **POLLERS}
    created = mapper(**fresh("msk"), **provisioned)
    answer = mapper.client.update_event_source_mapping(UUID=created["UUID"], ProvisionedPollerConfig={})
    assert not set(provisioned) & set(answer)


def test_what_an_update_may_not_touch_is_refused(mapper):
    update = mapper.client.update_event_source_mapping
    for kind, member in (
        ("msk", "AmazonManagedKafkaEventSourceConfig"),
        ("kafka", "SelfManagedKafkaEventSourceConfig"),
    ):
        uuid = mapper(**fresh(kind), **{member: {"ConsumerGroupId": "mine"}})["UUID"]
        assert update(UUID=uuid, **{member: {"ConsumerGroupId": "mine"}})[member] == {"ConsumerGroupId": "mine"}
        assert error_of(update, UUID=uuid, **{member: {"ConsumerGroupId": "other"}})[:2] == INVALID
    uuid = mapper(**fresh("docdb"))["UUID"]
    *problem, text = error_of(update, UUID=uuid, DocumentDBEventSourceConfig={"DatabaseName": "other"})
    assert (tuple(problem), text) == (INVALID, "Invalid parameters: collectionName, databaseName")
    answer = update(UUID=uuid, DocumentDBEventSourceConfig={"FullDocument": "UpdateLookup"})
    assert answer["DocumentDBEventSourceConfig"] == {
        "DatabaseName": "db",
        "CollectionName": "things",
        "FullDocument": "UpdateLookup",
    }


# --- functions ---


def test_the_function_is_named_as_it_was_given(make, mapper):
    function = make(CODE)
    client, name = function.client, function.name
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for given, qualifier in (
        (name, None),
        (f"{name}:$LATEST", "$LATEST"),
        (f"{name}:1", "1"),
        (f"{ACCOUNT}:function:{name}:live", "live"),
        (arn(name, "live"), "live"),
    ):
        assert mapper(**fresh("sqs"), FunctionName=given)["FunctionArn"] == arn(name, qualifier)
    for missing in (f"{name}:2", f"{name}:absent"):
        *problem, text = error_of(mapper, **fresh("sqs"), FunctionName=missing)
        assert (tuple(problem), text) == (INVALID, "Function does not exist")
    uuid = mapper(**fresh("sqs"), FunctionName=name)["UUID"]
    moved = client.update_event_source_mapping(UUID=uuid, FunctionName=f"{name}:live")
    assert moved["FunctionArn"] == arn(name, "live")


def test_a_mapping_outlives_its_function(make, mapper):
    function = make(CODE)
    created = mapper(**fresh("kinesis"), FunctionName=function.name)
    function.client.delete_function(FunctionName=function.name)
    found = mapper.client.get_event_source_mapping(UUID=created["UUID"])
    assert found["FunctionArn"] == arn(function.name)
    deleted = mapper.client.delete_event_source_mapping(UUID=created["UUID"])
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (deleted["State"], deleted["StateTransitionReason"]) == ("Deleting", "User action")


@pytest.mark.parametrize(
    "kind, wording",
    [
        ("sqs", 'An event source mapping with SQS arn (" {arn} ") and function (" {name} ") already exists.'),
        ("kinesis", 'The event source arn (" {arn} ") and function (" {name} ") provided mapping already exists.'),
        ("dynamodb", 'The event source arn (" {arn} ") and function (" {name} ") provided mapping already exists.'),
        ("docdb", 'The event source arn (" {arn} ") and function (" {name} ") provided mapping already exists.'),
        (
            "msk",
            'An event source mapping with event source ("{arn}"), function ("{full}"), topics ("topic") already exists.',
        ),
        (
            "mq",
            'An event source mapping with event source ("{arn}"), function ("{full}"), queues ("queue") already exists.',
        ),
    ],
)
def test_one_source_is_mapped_to_one_function_once(kind, wording, function, mapper):
    given = fresh(kind)
    uuid = mapper(**given)["UUID"]
    wording += " Please update or delete the existing mapping with UUID {uuid}"
    *problem, text = error_of(mapper, **given)
    assert tuple(problem) == CONFLICT
    full = arn(function.name)
    assert text == wording.format(arn=given["EventSourceArn"], name=function.name, full=full, uuid=uuid)
    mapper.client.delete_event_source_mapping(UUID=uuid)
    assert mapper(**given)["UUID"] != uuid


def test_several_functions_topics_and_queues_are_no_doubles(make, mapper):
    other = make(CODE).name
    given = fresh("sqs")
    first = mapper(**given)["UUID"]
    second = mapper(**given, FunctionName=other)["UUID"]
    status_and_code = error_of(mapper.client.update_event_source_mapping, UUID=first, FunctionName=other)[:2]
    assert status_and_code == CONFLICT
    mapper.client.update_event_source_mapping(UUID=second, FunctionName=other, BatchSize=3)
    broker, cluster = fresh("mq"), fresh("kafka")
    mapper(**broker)
    mapper(**broker | {"Queues": ["another"]})
    mapper(**cluster)
    mapper(**cluster | {"Topics": ["another"]})
    servers = cluster["SelfManagedEventSource"]["Endpoints"]["KAFKA_BOOTSTRAP_SERVERS"]
    more = {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [*servers, "more:9092"]}}}
    assert error_of(mapper, **cluster | more)[:2] == CONFLICT


def test_of_many_that_ask_at_once_one_gets_the_mapping(daemon, function, mapper):
    given = fresh("sqs")
    clients = [daemon.client() for _ in range(8)]

    def attempt(client):
        try:
            return mapper(client=client, **given)["UUID"]
        except client.exceptions.ResourceConflictException as error:
            return error.response["Error"]["Message"].split()[-1]

    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        uuids = set(pool.map(attempt, clients))
    assert len(uuids) == 1
    listed = function.client.list_event_source_mappings(EventSourceArn=given["EventSourceArn"])
    assert {mapping["UUID"] for mapping in listed["EventSourceMappings"]} == uuids
    assert len(listed["EventSourceMappings"]) == 1


# --- finding and forgetting ---


def test_mappings_are_listed_by_source_and_by_function_in_pages(make, mapper):
    function = make(CODE)
    client, name = function.client, function.name
    client.publish_version(FunctionName=name)
    shared = fresh("sqs")
    of_function = {mapper(**fresh("sqs"), FunctionName=name)["UUID"] for _ in range(4)}
    of_function.add(mapper(**shared, FunctionName=name)["UUID"])
    of_version = mapper(**shared, FunctionName=f"{name}:1")["UUID"]
    paginator = client.get_paginator("list_event_source_mappings")
    pages = list(paginator.paginate(FunctionName=name, PaginationConfig={"PageSize": 2}))
    assert [len(page["EventSourceMappings"]) for page in pages] == [2, 2, 1]
    found = [mapping for page in pages for mapping in page["EventSourceMappings"]]
    assert {mapping["UUID"] for mapping in found} == of_function
    assert {mapping["State"] for mapping in found} == {"Disabled"}

    def uuids(**filters):
        return {mapping["UUID"] for mapping in client.list_event_source_mappings(**filters)["EventSourceMappings"]}

    assert uuids(FunctionName=arn(name, "1")) == {of_version}
    assert of_version in uuids(**shared) and len(uuids(**shared)) == 2
    assert uuids(**shared, FunctionName=f"{name}:1") == {of_version}
    assert uuids(**fresh("sqs")) == set()
    assert uuids() >= of_function | {of_version}
    assert error_of(client.list_event_source_mappings, Marker="nonsense")[:2] == INVALID


def test_an_unknown_mapping_is_not_found(function):
    uuid = "01234567-89ab-4cde-8f01-23456789abcd"
    for call in ("get_event_source_mapping", "update_event_source_mapping", "delete_event_source_mapping"):
        *problem, text = error_of(getattr(function.client, call), UUID=uuid)
        assert (tuple(problem), text) == (NOT_FOUND, "The resource you requested does not exist.")


# --- tags ---


def test_mappings_have_tags(mapper):
    created = mapper(**fresh("sqs"), Tags={"a": "1", "b": "2"})
    client, resource = mapper.client, created["EventSourceMappingArn"]
    assert "Tags" not in created
    client.tag_resource(Resource=resource, Tags={"b": "3", "c": "4"})
    client.untag_resource(Resource=resource, TagKeys=["a", "absent"])
    assert client.list_tags(Resource=resource)["Tags"] == {"b": "3", "c": "4"}
    client.update_event_source_mapping(UUID=created["UUID"], BatchSize=1)
    assert client.list_tags(Resource=resource)["Tags"] == {"b": "3", "c": "4"}
    many = {f"k{number}": "v" for number in range(49)}
    *problem, text = error_of(client.tag_resource, Resource=resource, Tags=many)
    assert (tuple(problem), text) == (INVALID, "Number of tags exceeds resource tag limit.")
    *problem, text = error_of(mapper, **fresh("sqs"), Tags=many | {"x": "", "y": ""})
    assert (tuple(problem), text) == (INVALID, "Number of tags exceeds resource tag limit.")
    assert error_of(client.tag_resource, Resource=resource, Tags={})[:2] == INVALID
    client.delete_event_source_mapping(UUID=created["UUID"])
    *problem, text = error_of(client.list_tags, Resource=resource)
    assert (tuple(problem), text) == (NOT_FOUND, f"Event source mapping not found: {resource}")


def test_tags_of_another_account_are_nobodys_business(function):
    uuid = "01234567-89ab-4cde-8f01-23456789abcd"
    other = f"arn:aws:lambda:{REGION}:999999999999:event-source-mapping:{uuid}"
    assert error_of(function.client.list_tags, Resource=other)[:2] == (403, "AccessDeniedException")


# --- the wire ---


def test_moments_are_seconds_and_what_is_absent_is_absent(daemon, function, mapper):
    uuid = mapper(**fresh("sqs"))["UUID"]
    answer = wire.request(daemon.address, "GET", f"/2015-03-31/event-source-mappings/{uuid}")
    assert answer.status == 200
    assert isinstance(answer.json["LastModified"], float | int)
    assert None not in answer.json.values()
    body = json.dumps({"FunctionName": function.name, **fresh("sqs"), "Enabled": None}).encode()
    answer = wire.request(daemon.address, "POST", "/2015-03-31/event-source-mappings/", body)
    assert (answer.status, answer.json["State"]) == (202, "Creating")
    function.client.delete_event_source_mapping(UUID=answer.json["UUID"])
