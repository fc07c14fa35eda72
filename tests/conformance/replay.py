"""Replays recorded calls of the real service against the daemon and compares the answers.

The recordings lie beside the checkout (`../shared`), or where `HEARTH_SHARED` points. A case is a list of calls; those
of Lambda are made again with boto3, requests to URLs and those of a function's logs and of its code's bucket, too (see
`others.py`). Which cases are replayed is decided by what they call (see `built`); which of these cannot apply, by
`not_applicable.toml`; which recorded answers nothing here could give, by `unjudged.toml`; where the service has changed
since the recording, by `drift.toml`. Everything not named there has to match, and a case that compares nothing fails.
"""

import base64
import contextlib
import copy
import functools
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import botocore.exceptions
import botocore.validate
from compare import Bindings, Difference, compare
from others import forms_of_events

from lib import functions, interpreters, waiting
from lib.daemon import REPOSITORY, binary

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("HEARTH_SHARED", REPOSITORY.parent / "shared"))
ACCOUNT = "111111111111"
REGION = "us-east-1"
# Members that answers got after some recordings were made, with the date since when they are there (year, month, day).
INTRODUCED = {
    "Architectures": (2021, 9, 29),
    "EphemeralStorage": (2022, 3, 24),
    "SnapStart": (2022, 11, 28),
    "RuntimeVersionConfig": (2023, 1, 17),
    "LoggingConfig": (2023, 11, 16),
    "EventSourceMappingArn": (2024, 10, 31),
}
SETTLE_WITHIN_S = 60
# How long a question is asked again that the recorded suite asked again and again, too.
POLL_WITHIN_S = 30
HASTE_MAX = 5
# What the cases without a recorded answer still say about an invocation: case, what comes back for what was sent.
EVIDENT = (
    (r"test_echo_invoke|test_large_payloads", lambda case, sent: sent),
    (r"test_handler_in_submodule", lambda case, sent: {"event": sent, "context": "<context>"}),
    (r"test_python_runtime_correct_versions", lambda case, sent: {"version": runtime_of(case)}),
    (r"test_lambda_large_response", lambda case, sent: "a" * sent["bytenum"]),
)
# A case without a recorded answer that says itself what its URL answers.
ECHOED = r"test_lambda_url_headers_and_status"
# Cases whose packages were not kept, but which say what they are: the first one answers `version1`, the second `version2`.
NUMBERED = r"test_lambda_versions_with_code_changes|test_lambda_alias_moving|test_alias_routingconfig"
# Packages that were not kept, of which the recorded answers say what their function does.
UNKEPT = ((r"test_lambda_url_echo_http_fixture|test_lambda_url_form_payload", "http_echo.py"),)
# Cases about what is refused during an update: their packages take a while to unpack.
BUSY = r"test_lambda_concurrent_code_updates"
BUSY_FILES = 30_000
# Files more for each time that a case is made again because something was done too soon.
BUSIER_FILES = 3_000
# In `unjudged.toml`: a case of which no answer was kept.
NOTHING = "(nothing)"
# What a call for a further page gives as marker.
NEXT_PAGE = "<next page>"
# How the client library begins its own complaint about a parameter: the service never saw that call.
CLIENT_COMPLAINT = "Parameter validation failed:"
# A run of one character in a recorded text: `<a:len(65)>`.
RUN = re.compile(r"<(.):len\((\d+)\)>")
# Names that the service gives, and no client: UUIDs, ids of code signing configurations.
GIVEN = re.compile(rf"{functions.UUID}|csc-[0-9a-z]{{17}}")
VIOLATIONS = re.compile(r"(\d+) validation errors? detected: (.*)", re.DOTALL)


class NotApplicable(Exception):
    """The case cannot be replayed here; the text says why."""


def methods(client):
    return {operation: method for method, operation in client.meta.method_to_api_mapping.items()}


# --- the cases ---


@functools.cache
def recordings():
    """(requests, answers), or None when the recordings are not on this machine."""
    files = [SHARED / "aws-recorded-requests.json", SHARED / "aws-recorded-answers.json"]
    if not all(path.is_file() for path in files):
        return None
    return tuple(json.loads(path.read_text()) for path in files)


def short(name):
    """A case's name without the path of the suite it comes from."""
    return name.split("/")[-1]


@functools.cache
def cases():
    """Names of the cases all of whose Lambda calls are built, in order."""
    if recordings() is None:
        return []
    requests, _ = recordings()
    return [name for name, case in requests["cases"].items() if is_built(calls_of(case))]


def calls_of(case):
    return case["calls"] if isinstance(case, dict) else case


@functools.cache
def built():
    """Names of the operations that the program says it has; `tests/it/test_operations.py` holds it to that."""
    told = subprocess.run([binary(), "api", "dump"], capture_output=True, check=True, timeout=60).stdout
    return {row["operation"] for row in json.loads(told) if row["state"] == "built"}


def is_built(calls):
    made = {call["call"].removeprefix("lambda.") for call in calls if call["call"].startswith("lambda.")}
    return bool(made) and made <= built()


@functools.cache
def table(name):
    """A TOML file beside this one."""
    return tomllib.loads((HERE / name).read_text())


def reason_against(name):
    """Why a case cannot apply, or None."""
    for entry in table("not_applicable.toml")["case"]:
        if re.search(entry["name"], short(name)):
            return entry["reason"]
    return None


def runtime_of(name):
    """The runtime a case is about, when it names one: `test_echo_invoke[python3.12]`."""
    match = re.search(r"\[(?:.*-)?((?:python3\.|nodejs|provided\.|java|ruby|dotnet)[a-z0-9.]*\d[a-z0-9.]*)\]$", name)
    return match.group(1) if match else None


# --- one case ---


def unjudged(name):
    """Labels of a case that nothing here could give, as patterns."""
    return [entry["label"] for entry in table("unjudged.toml")["answer"] if re.search(entry["case"], short(name))]


def replayed(daemon, name, others):
    """The differences of a case.

    The service takes seconds to make a function ready, the daemon milliseconds: on a busy machine a question right after a
    creation may find what was recorded as under way already done. Then the case is made again, a few times at most, with
    packages that take longer.
    """
    for attempt in range(HASTE_MAX):
        differences = Replay(daemon, name, attempt, others).run()
        if not any(map(is_haste, differences)):
            break
    return differences


def is_haste(difference):
    """Whether something was recorded as under way that was done by the time of the question."""
    met = (str(difference.expected), str(difference.actual))
    return met in {("Pending", "Active"), ("InProgress", "Successful"), ("IN_PROGRESS", "READY"), ("IN_PROGRESS", "FAILED")}


class Replay:
    """One case on one daemon."""

    def __init__(self, daemon, name, attempt=0, others=None):
        requests, answers = recordings()
        self.daemon = daemon
        self.name = name
        self.attempt = attempt
        self.values = requests["values"].get(name, {})
        self.calls = calls_of(requests["cases"][name])
        if attempt:
            self.calls, self.values = self.renamed([self.calls, self.values], attempt)
        recorded = answers["cases"].get(name, {})
        self.answers = spelled_out(copy.deepcopy(recorded.get("recorded-content") or {}))
        self.date = date_of(recorded.get("recorded-date", ""))
        self.client = daemon.client(validate=False, region=REGION)
        self.methods = methods(self.client)
        self.others = others
        self.unjudged = unjudged(name)
        self.judged = set()
        self.requests = []
        self.given = []
        self.packages = []
        self.sizes = {}
        self.compared = 0
        self.differences = []
        self.made = []
        self.swaps = {**self.runtime_swaps(), **self.drifted_values()}
        self.loose = set()
        self.apply_drift()
        self.bindings = Bindings({"partition": "aws", "region": REGION, **self.known()})

    def renamed(self, recorded, attempt):
        """The same with other names of the same length: a name that was used before goes on counting its versions."""
        text = json.dumps(recorded)
        for value in set(map(str, self.values.values())):
            if re.fullmatch(r"[a-z]+(-[a-z0-9]+)*-[0-9a-f]{8}", value):
                text = text.replace(value, f"{value[:-1]}{(int(value[-1], 16) + attempt) % 16:x}")
        return json.loads(text)

    def known(self):
        """Variables whose value this replay chooses: names that were sent."""
        return {
            key.strip("<>"): value
            for key, value in self.values.items()
            if not re.match(r"<<?(uuid|code-sha|location|request)", key)
            and ":" not in str(value).removesuffix(":")
            and not GIVEN.fullmatch(str(value))
        }

    def runtime_swaps(self):
        """Recorded runtime → used runtime, when the case is about none and this host lacks the recorded one."""
        if runtime_of(self.name):
            return {}
        swaps = {}
        for recorded, present in (
            ("python3.12", interpreters.python()),
            ("python3.13", interpreters.python()),
            ("nodejs20.x", interpreters.node()),
        ):
            if present and recorded not in interpreters.runtimes():
                swaps |= {recorded: present, f"AWS_Lambda_{recorded}": f"AWS_Lambda_{present}"}
        return swaps

    def drifted_values(self):
        """Values that this case sends and gets instead of the recorded ones."""
        entries = table("drift.toml").get("value", [])
        entries = [entry for entry in entries if re.search(entry["case"], short(self.name))]
        for entry in entries:
            if runtime_of(f"[{entry['used']}]") and entry["used"] not in interpreters.runtimes():
                raise NotApplicable(f"{entry['used']} is not on this host")
        return {entry["recorded"]: entry["used"] for entry in entries}

    def apply_drift(self):
        for entry in table("drift.toml").get("answer", []):
            if not re.search(entry["case"], short(self.name)) or entry["label"] not in self.answers:
                continue
            steps = entry["member"].split(".")
            if entry["value"] == "(optional)":
                self.loose.add(steps[-1])
            replace(unwrap(self.answers[entry["label"]]), steps, entry["value"])

    @property
    def invokes(self):
        """Whether the case invokes a function itself. What a source would hand to it is not replayed."""
        return any(call["call"] == "lambda.Invoke" or call["call"].startswith("http.") for call in self.calls)

    @property
    def optional(self):
        since = {member for member, since in INTRODUCED.items() if self.date and self.date < since}
        return frozenset(since | self.loose)

    def run(self):
        """Makes all calls; returns the differences. Deletes what it made."""
        try:
            for place, call in enumerate(self.calls):
                answer = self.make(call)
                self.given.append(answer)
                if answer is not None and not is_page(self.calls[place + 1 : place + 2]):
                    self.judge_pages(place)
        finally:
            self.clean_up()
        self.judge_the_judging()
        return self.differences

    def judge_the_judging(self):
        """A recorded answer that was compared with nothing, and a case that compared nothing, are differences, too."""
        for label, recorded in self.answers.items():
            named = self.is_unjudged(label)
            if not (named or label in self.judged or is_complaint_of_client(recorded)):
                self.differences.append(Difference(label, recorded, "nothing: no call was compared with it"))
            if named and label in self.judged:
                self.differences.append(Difference(label, "not to be judged (unjudged.toml)", "it was"))
        if (NOTHING in self.unjudged) != (not self.compared):
            what = "nothing" if NOTHING in self.unjudged else "something"
            self.differences.append(Difference("", f"{what} that can be compared", f"{self.compared} comparisons"))

    def is_unjudged(self, label):
        return label is not None and any(re.fullmatch(pattern, label) for pattern in self.unjudged)

    def make(self, call):
        service, operation = call["call"].split(".", 1) if "." in call["call"] else (call["call"], "")
        if self.is_unjudged(call.get("label")) and service != "lambda":
            return None
        if service == "http":
            return self.fetch(operation, call)
        if service != "lambda":
            return self.make_elsewhere(service, operation, call)
        parameters = self.parameters(call)
        if call.get("fails") and not call.get("label") and self.never_leaves(operation, parameters):
            return None
        if call.get("setup") and call.get("poll"):
            return self.settle(operation, parameters)
        answer = self.call(operation, parameters)
        self.note_request(operation, answer)
        if operation == "CreateFunction" and "Error" not in answer:
            self.made.append(("DeleteFunction", {"FunctionName": answer["FunctionName"]}))
        if operation == "CreateEventSourceMapping" and "Error" not in answer:
            self.made.append(("DeleteEventSourceMapping", {"UUID": answer["UUID"]}))
        if operation == "CreateCodeSigningConfig" and "Error" not in answer:
            config = answer["CodeSigningConfig"]["CodeSigningConfigArn"]
            self.made.append(("DeleteCodeSigningConfig", {"CodeSigningConfigArn": config}))
        if call.get("fails") and "Error" not in answer:
            self.differences.append(Difference(f"call {len(self.given)} {operation}", "an error", answer))
        # What was asked again and again may have waited for an error: that something is gone.
        if not call.get("fails") and not call.get("poll") and "Error" in answer:
            self.differences.append(Difference(f"call {len(self.given)} {operation}", "no error", answer["Error"]))
        if not is_page([call]) and not is_page(self.calls[len(self.given) + 1 : len(self.given) + 2]):
            self.judge(call, answer)
        if operation == "Invoke" and not call.get("label") and not call.get("fails"):
            self.judge_unrecorded(parameters, answer)
        return answer

    def note_request(self, operation, answer):
        """Every answer has an id of its request; those of invocations are what logs speak of."""
        request = answer["ResponseMetadata"].get("RequestId", "")
        if not re.fullmatch(functions.UUID, request):
            self.differences.append(Difference(f"call {len(self.given)} {operation}", "a request id", request))
        if operation == "Invoke":
            self.requests.append(request)

    def make_elsewhere(self, service, operation, call):
        """A call of another service, where there is one. Logs are looked at where the case itself invoked something."""
        if service == "logs" and not self.invokes:
            return None
        parameters = self.parameters(call)
        kept = (Bindings(self.bindings.values), list(self.differences), self.compared)
        answers = []

        def answered():
            self.bindings, self.differences, self.compared = Bindings(kept[0].values), list(kept[1]), kept[2]
            answers.append(self.others.call(service, operation, parameters))
            if answers[-1] is None:
                return True
            place = f"call {len(self.given)} {service}.{operation}"
            if "Error" in answers[-1]:
                self.differences.append(Difference(place, "no error", answers[-1]["Error"]))
            else:
                self.judge(call, answers[-1])
            return len(self.differences) == len(kept[1])

        # What is printed comes to its log a moment after the answer.
        if not answered() and call.get("poll"):
            with contextlib.suppress(AssertionError):
                waiting.until(answered, "the recorded answer", POLL_WITHIN_S)
        return answers[-1]

    def never_leaves(self, operation, parameters):
        """Whether the client library refuses these parameters: the service never saw that call."""
        shape = self.client.meta.service_model.operation_model(operation).input_shape
        return botocore.validate.ParamValidator().validate(parameters, shape).has_errors()

    def judge_pages(self, last):
        """The pages that end with this call, as the one answer that a client library makes of them."""
        first = last
        while is_page([self.calls[first]]):
            first -= 1
        if first == last:
            return
        whole = {}
        for page in self.given[first : last + 1]:
            for member, value in page.items():
                if isinstance(value, list):
                    whole.setdefault(member, []).extend(value)
        self.judge(self.calls[first], whole)

    def call(self, operation, parameters):
        """The answer as a client library parses it, errors included; payloads are read."""
        try:
            answer = getattr(self.client, self.methods[operation])(**parameters)
        except botocore.exceptions.ClientError as error:
            return error.response
        if "Payload" in answer:
            answer["Payload"] = answer["Payload"].read()
        return answer

    def settle(self, operation, parameters):
        """Waits for a function, a mapping or what is provisioned to be ready, by the same question the recorded suite asked."""
        answers = []

        def settled():
            answers.append(self.call(operation, parameters))
            if "Error" in answers[-1]:
                return True  # it was never made; the calls that follow will tell
            if operation == "GetProvisionedConcurrencyConfig":
                return answers[-1]["Status"] != "IN_PROGRESS"
            now = answers[-1].get("Configuration", answers[-1])
            ready = now.get("State") in ("Active", "Failed", "Enabled", "Disabled")
            return ready and now.get("LastUpdateStatus") != "InProgress"

        waiting.until(settled, f"{parameters} is settled", SETTLE_WITHIN_S)
        return answers[-1]

    def fetch(self, method, call):
        """A request over HTTP: to a function's URL, or for the code where an earlier answer said it is."""
        wanted = self.answers.get(call.get("label"))
        echoed = wanted.get("headers", {}) if isinstance(wanted, dict) else {}
        parameters = self.parameters(call)
        body = parameters.get("body")
        answer = self.others.fetch(method, call["params"]["url"], parameters["headers"], body, self.given, echoed)
        place = f"call {len(self.given)} {call['call']}"
        if answer is None:
            self.differences.append(Difference(place, "an earlier answer that says where", "none"))
            return None
        if call["params"]["url"].startswith("<") and answer["ResponseMetadata"]["HTTPStatusCode"] != 200:
            self.differences.append(Difference(place, "the code", answer["Payload"]))
        self.judge(call, answer)
        if not call.get("label") and re.search(ECHOED, short(self.name)):
            self.judge_echo(place, json.loads(body), answer)
        return answer

    def judge_echo(self, place, said, answer):
        """The answer of a function that answers what the body of the request says."""
        self.compared += 1
        meta = answer["ResponseMetadata"]
        got = {
            "status": meta["HTTPStatusCode"],
            "headers": {name: meta["HTTPHeaders"].get(name.lower()) for name in said.get("headers", {})},
            "body": answer["Payload"].decode(),
        }
        wanted = {"status": int(said["statusCode"]), "headers": said.get("headers", {}), "body": said["body"]}
        self.differences += compare(wanted, got, Bindings(), place)

    # --- parameters ---

    def parameters(self, call):
        parameters = self.value(copy.deepcopy(call["params"]))
        for place, source in call.get("from", {}).items():
            replaced = self.from_answer(source)
            if replaced is not None:
                replace(parameters, split_place(place), replaced)
        return parameters

    def value(self, value):
        """A recorded parameter as it is sent: blobs made, placeholders filled, names of this host's runtimes."""
        if isinstance(value, dict):
            if "zip" in value:
                return self.package(value)
            if set(value) == {"text"}:
                return value["text"].encode()
            if "bytes" in value and set(value) <= {"bytes", "starts"}:
                return long_payload(value, self.name)
            if set(value) == {"characters", "starts"}:
                return (value["starts"] * (value["characters"] // len(value["starts"]) + 1))[: value["characters"]]
            return {self.value(key): self.value(below) for key, below in value.items()}
        if isinstance(value, list):
            return [self.value(below) for below in value]
        if isinstance(value, str):
            if value == NEXT_PAGE:
                markers = [answer["NextMarker"] for answer in self.given if answer and answer.get("NextMarker")]
                return markers[-1] if markers else value
            # What this run was given comes before what the recorded one was.
            value = self.bindings.fill(value)
            for key, known in self.values.items():
                value = value.replace(key, str(known))
            return self.swaps.get(value, value)
        return value

    def package(self, blob):
        """A zip with handlers of our own in place of the recorded ones."""
        if re.search(NUMBERED, short(self.name)):
            if blob["sha256"] not in self.packages:
                self.packages.append(blob["sha256"])
            source = (HERE / "handlers" / "numbered.py").read_text()
            version = f"version{self.packages.index(blob['sha256']) + 1}"
            return functions.package({"handler.py": source.replace("(version)", version)})
        for pattern, file in UNKEPT:
            if re.search(pattern, short(self.name)):
                return functions.package({"handler.py": (HERE / "handlers" / file).read_bytes()})
        if re.search(BUSY, short(self.name)):
            # The second one, after that of the creation; the third is to be refused and made in no time.
            self.packages.append(blob["sha256"])
            size = BUSY_FILES if len(self.packages) == 2 else 0
            return self.packed({"handler.py": (HERE / "handlers" / "index.py").read_bytes()}, size)
        if not blob.get("sources") and not blob.get("built_from"):
            if blob.get("zip") == ["handler.py"]:
                return sized(self.packed({"handler.py": (HERE / "handlers" / "index.py").read_bytes()}), blob["bytes"])
            if blob.get("zip") and all(name.endswith(".txt") for name in blob["zip"]):
                return sized(functions.package({name: blob["sha256"] for name in blob["zip"]}), blob["bytes"])
        sources = blob.get("sources")
        if sources is None:
            built = blob.get("built_from")
            folder = HERE / "handlers" / (built or "nowhere").removeprefix("functions/").replace("/", "_")
            if not built or not folder.is_dir():
                raise NotApplicable(f"the package {built or blob.get('zip')} needs a compiler or a download")
            return functions.package({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
        files = {name: self.handler(source) for name, source in sources.items()}
        for name in blob.get("zip") or []:
            if name not in files:
                files[name] = self.handler(name)
        return sized(self.packed(files), blob["bytes"])

    def packed(self, files, more=0):
        """A package that takes the longer to unpack the more often the case has been made."""
        more = more or self.attempt * BUSIER_FILES
        note = json.dumps([self.name, self.attempt, len(self.given)])
        more = {f"more/{number // 100}/{number}": note for number in range(more)}
        return functions.package({**files, **more}, executable=("bootstrap", "environment_wrapper"))

    def handler(self, source):
        path = HERE / "handlers" / source.removeprefix("functions/").replace("/", "_")
        if not path.is_file() and not self.invokes:
            path = HERE / "handlers" / "index.py"
        if not path.is_file():
            raise NotApplicable(f"there is no handler of ours for {source}")
        return path.read_bytes()

    def from_answer(self, source):
        """The value a parameter got from an earlier answer: `0: FunctionArn`, `4: FunctionArn + :x`."""
        index, _, member = source.partition(": ")
        member, _, added = member.partition(" + ")
        answer = self.given[int(index)] if index.isdigit() and int(index) < len(self.given) else None
        for step in split_place(member):
            if isinstance(answer, list) and str(step).isdigit():
                answer = answer[int(step)] if int(step) < len(answer) else None
            else:
                answer = answer.get(step) if isinstance(answer, dict) else None
        return answer + added if added and isinstance(answer, str) else answer

    # --- answers ---

    def judge(self, call, answer):
        for label in [call.get("label"), *call.get("also", [])]:
            if label is not None and "total_code_size_diff" in label:
                self.judged.add(label)
                self.judge_growth(label, answer["AccountUsage"]["TotalCodeSize"])
            elif self.answers.get(label) is True and call.get("poll"):
                self.judged.add(label)
                self.compared += 1  # what was waited for came; what it was is not recorded
            elif label is not None and label in self.answers and not is_complaint_of_client(self.answers[label]):
                self.compare(call, label, self.answers[label], answer)

    def judge_growth(self, label, size):
        """What was recorded of two sizes of all code: how much grew in between, or whether it was more than 200."""
        if label not in self.sizes:
            self.sizes[label] = size
            return
        before = self.sizes[label]
        self.compared += 1
        grown = size - before > 200 if label.endswith("_more_than_200") else size - before
        if grown != self.answers[label]:
            self.differences.append(Difference(label, self.answers[label], grown))

    def judge_unrecorded(self, parameters, answer):
        """An invocation whose answer was not kept: no failure was, and what the case is about is evident."""
        place = f"call {len(self.given)} Invoke"
        if "FunctionError" in answer:
            self.differences.append(Difference(place, "no function error", answer["Payload"]))
            return
        for pattern, wanted in EVIDENT:
            if re.search(pattern, short(self.name)):
                self.compared += 1
                sent = json.loads(parameters.get("Payload") or b"{}")
                self.differences += compare(wanted(self.name, sent), json_or_text(answer["Payload"]), Bindings(), place)

    def compare(self, call, label, expected, answer):
        expected = self.swapped(unwrap(expected))
        best = None
        for wanted in (expected, settled_form(expected) if asks(call) else None):
            for plain in (*forms(answer), *forms_of_events(answer, self.requests)) if wanted is not None else ():
                tried = Bindings(self.bindings.values)
                found = compare(wanted, shaped_like(wanted, plain), tried, label, self.optional)
                rank = (-alike(wanted, plain), len(found))
                if best is None or rank < best[0]:
                    best = (rank, found, tried)
        self.judged.add(label)
        self.compared += 1
        self.differences += best[1]
        self.bindings = best[2]

    def swapped(self, value):
        if isinstance(value, dict):
            return {key: self.swapped(below) for key, below in value.items()}
        if isinstance(value, list):
            return [self.swapped(below) for below in value]
        if isinstance(value, str) and value.startswith("INIT_START"):
            for recorded, used in self.swaps.items():
                value = value.replace(f"python:{recorded.removeprefix('python')}.", f"python:{used.removeprefix('python')}.")
        return self.swaps.get(value, value) if isinstance(value, str) else value

    def clean_up(self):
        for operation, parameters in self.made:
            self.call(operation, parameters)


# --- shapes of answers ---


def date_of(text):
    """`25-11-2025, 15:44:31` as (2025, 11, 25)."""
    match = re.match(r"(\d\d)-(\d\d)-(\d{4})", text)
    return (int(match[3]), int(match[2]), int(match[1])) if match else None


def split_place(place):
    """`Code.Items[0].Name` as its steps."""
    return [step for step in re.split(r"[.\[\]]+", place) if step]


def replace(value, steps, new):
    """Sets a member deep inside; a part that is not there is made."""
    for step in steps[:-1]:
        value = value[int(step)] if isinstance(value, list) else value.setdefault(step, {})
    if new in ("(absent)", "(optional)"):
        value.pop(steps[-1], None)
    else:
        value[int(steps[-1]) if isinstance(value, list) else steps[-1]] = new


def is_page(calls):
    """Whether the first of these calls asks for a further page of what the call before it asked for."""
    return any((call.get("params") or {}).get("Marker") == NEXT_PAGE for call in calls)


def unwrap(expected):
    """Creation answers of a helper of the recorded suite stand one level deeper."""
    if isinstance(expected, dict) and "CreateFunctionResponse" in expected:
        return expected["CreateFunctionResponse"]
    return expected


def asks(call):
    """Whether a call only asks for a function, so that an update may have ended by then."""
    return call["call"] in ("lambda.GetFunction", "lambda.GetFunctionConfiguration")


def settled_form(expected):
    """The same answer a moment later, when the update that was in progress has ended; None if there was none."""
    configuration = expected.get("Configuration", expected) if isinstance(expected, dict) else {}
    if configuration.get("LastUpdateStatus") != "InProgress":
        return None
    later = copy.deepcopy(expected)
    configuration = later.get("Configuration", later)
    configuration.update(LastUpdateStatus="Successful", RevisionId="<uuid>")
    for reason in ("LastUpdateStatusReason", "LastUpdateStatusReasonCode"):
        configuration.pop(reason, None)
    return later


def alike(expected, actual):
    """How many members two things share at the top: which form of an answer a recording was made from."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return len(set(expected) & set(actual))
    return int(type(expected) is type(actual))


def sized(package, size):
    """A package as large as the recorded one, if it was smaller: some cases are about sizes."""
    missing = size - len(package)
    # The last two bytes say how long the comment is that follows, and there is none yet.
    fits = 0 < missing < 1 << 16
    return package[:-2] + missing.to_bytes(2, "little") + b" " * missing if fits else package


def is_complaint_of_client(expected):
    return isinstance(expected, str) and expected.startswith(CLIENT_COMPLAINT)


def spelled_out(value):
    """A recorded answer with every run of a character written out."""
    if isinstance(value, dict):
        return {key: spelled_out(below) for key, below in value.items()}
    if isinstance(value, list):
        return [spelled_out(below) for below in value]
    return RUN.sub(lambda run: run[1] * int(run[2]), value) if isinstance(value, str) else value


def summary_of(error):
    """An error as the cases on names kept it: code and message, or code and sorted list of the violations."""
    message = error.get("Message")
    violations = VIOLATIONS.fullmatch(message or "")
    if not violations:
        return {"Code": error.get("Code"), "Message": message}
    # Each violation begins with the value it is about; a pattern quoted in one may contain the separator.
    errors = re.split(r"; (?=Value )", violations[2])
    return {"Code": error["Code"], "Count": int(violations[1]), "Errors": sorted(errors)}


def forms(answer):
    """What a recorded answer may have been made from: the answer, its error, an item of its, its payload, its log's tail."""
    if "Error" in answer:
        yield summary_of(answer["Error"])
    whole = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    if "ResponseMetadata" in answer:
        status = answer["ResponseMetadata"].get("HTTPStatusCode")
        whole["ResponseMetadata"] = {"HTTPHeaders": {}, "HTTPStatusCode": status}
    yield whole
    for listed in whole.values():
        yield from (item for item in listed if isinstance(item, dict)) if isinstance(listed, list) else ()
    if isinstance(answer.get("Payload"), bytes):
        payload = json_or_text(answer["Payload"])
        yield payload
        if isinstance(payload, dict) and isinstance(payload.get("body"), str):
            yield json_or_text(payload["body"].encode())
    if "LogResult" in answer:
        yield {"logs": base64.b64decode(answer["LogResult"]).decode().splitlines(keepends=True)}


def json_or_text(data):
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


def shaped_like(expected, actual):
    """Blobs of the answer in the form the recording shows them: parsed, or as text."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {key: shaped_like(expected.get(key), value) for key, value in actual.items()}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [shaped_like(wanted, value) for wanted, value in zip(expected, actual, strict=True)]
    if isinstance(actual, str) and isinstance(expected, dict):
        return json_or_text(actual.encode())  # policies and statements are JSON in a string
    if isinstance(actual, bytes):
        return actual.decode(errors="replace") if isinstance(expected, str) else json_or_text(actual)
    return actual


def long_payload(blob, name):
    """A payload of which only the size and the beginning were kept."""
    size, start = blob["bytes"], blob.get("starts", "")
    if not start:
        # The cases on encodings carry their bytes in their names.
        match = re.search(r"payload_encoding_error\[[a-z]+-(.*)\]$", name, re.DOTALL)
        if match:
            return match.group(1).encode().decode("unicode_escape").encode("latin-1")
        raise NotApplicable("the payload was not kept")
    match = re.fullmatch(r'(\{"[^"]+": ")(.+)', start)
    if not match:
        raise NotApplicable("the payload cannot be made from its beginning")
    return (match.group(1) + "x" * (size - len(match.group(1)) - 2) + '"}').encode()
