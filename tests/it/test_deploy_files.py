"""What `deploy/` holds for operators fits the daemon: every series that alerts and panels name is one it has."""

import json
import re
import shutil
import subprocess
import urllib.request

import pytest
import yaml

from lib.daemon import ACCOUNT, REGION, REPOSITORY

DEPLOY = REPOSITORY / "deploy"
SOURCES = REPOSITORY / "src/daemon"
PUBLISHER = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/test/abc"
# What Prometheus itself adds to a scrape.
OF_PROMETHEUS = {"up"}
SUFFIXES = re.compile(r"_(bucket|sum|count)$")
NAME = re.compile(r"\b(up|hearth_[a-z_]+)\b(?=[{\[) ]|$)")
LABELS = re.compile(r"\{([^{}]*)\}")


def alerts():
    groups = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard():
    return json.loads((DEPLOY / "grafana-dashboard.json").read_text())


def expressions():
    """(where, expression) of everything that is asked of Prometheus."""
    asked = [(rule["alert"], rule["expr"]) for rule in alerts()]
    for panel in dashboard()["panels"]:
        asked += [(panel["title"], target["expr"]) for target in panel["targets"]]
    return asked


def registered():
    """Names of all series that the sources register."""
    texts = (file.read_text() for file in SOURCES.rglob("*.rs"))
    return {name for text in texts for name in re.findall(r'"(hearth_[a-z_]+)"', text)}


def read(daemon):
    with urllib.request.urlopen(f"{daemon.admin}/metrics", timeout=20) as answer:
        return answer.read().decode()


def provision(function):
    """One environment is kept ready, takes a call, and lets another one spill over."""
    from lib import holding, waiting

    about = {"FunctionName": function.name, "Qualifier": "1"}
    function.client.publish_version(FunctionName=function.name)
    function.client.put_provisioned_concurrency_config(**about, ProvisionedConcurrentExecutions=1)

    def ready():
        return function.client.get_provisioned_concurrency_config(**about)["Status"] == "READY"

    waiting.until(ready, "one environment is ready")
    with holding.under_way(function, 2, Qualifier="1") as calls:
        pass
    assert [call.result().error for call in calls] == ["Unhandled"] * 2


def deploy_unsigned(function):
    """Code that nobody signed comes under a configuration that only warns of it."""
    from lib import functions

    client = function.client
    config = client.create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": [PUBLISHER]})
    config = config["CodeSigningConfig"]["CodeSigningConfigArn"]
    client.put_function_code_signing_config(FunctionName=function.name, CodeSigningConfigArn=config)
    package = functions.package("def handler(event, context):\n    return 'unsigned'\n")
    client.update_function_code(FunctionName=function.name, ZipFile=package)
    function.wait()
    client.delete_function_code_signing_config(FunctionName=function.name)
    client.delete_code_signing_config(CodeSigningConfigArn=config)


@pytest.fixture(scope="module")
def series(daemon, python):
    """name → labels of every series, after something of each kind has happened."""
    from lib import functions, holding
    from lib.daemon import ROLE

    maker = functions.Maker(daemon, python, ROLE)
    function = maker(holding.CODE.replace("return INSTANCE", "raise Exception('x')"), Timeout=60)
    function.invoke({})
    provision(function)
    deploy_unsigned(function)
    text = read(daemon)
    function.client.delete_provisioned_concurrency_config(FunctionName=function.name, Qualifier="1")
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    with pytest.raises(function.client.exceptions.TooManyRequestsException):
        function.invoke({})
    text += read(daemon)
    maker.delete_all()
    found = {}
    for line in text.splitlines():
        if match := re.match(r"([a-z_]+)(?:\{(.*)\})? \S+$", line):
            labels = re.findall(r'(\w+)="', match.group(2) or "")
            found.setdefault(SUFFIXES.sub("", match.group(1)), set()).update(labels)
    return found


@pytest.mark.parametrize("where, expression", expressions(), ids=[where for where, _ in expressions()])
def test_every_series_and_label_that_is_asked_for_is_there(where, expression, series):
    names = {SUFFIXES.sub("", name) for name in NAME.findall(expression)} - OF_PROMETHEUS
    assert names or "up" in expression, expression
    assert names <= set(series), f"{where} asks for {names - set(series)}"
    had = set.union(set(), *(series[name] for name in names)) | {"instance", "job"}
    wanted = {label for part in LABELS.findall(expression) for label in re.findall(r"(\w+)\s*(?:=|!)", part)}
    wanted |= {word.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for word in by.split(",")}
    assert wanted <= had, f"{where} asks for labels {wanted - had}"


def test_every_alert_says_what_it_is_and_how_bad():
    for rule in alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names)) > 0


def test_every_series_is_on_the_dashboard(series):
    shown = {SUFFIXES.sub("", name) for panel in dashboard()["panels"] for t in panel["targets"] for name in NAME.findall(t["expr"])}
    had = {name for name in series if name.startswith("hearth_")}
    names = registered()
    assert had <= names, f"not found in the sources: {had - names}"
    assert names <= shown, f"on no panel: {names - shown}"


def test_panels_do_not_overlap_and_use_variables_that_exist():
    board = dashboard()
    known = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)\b", json.dumps(board["panels"])))
    assert used <= known, used - known
    cells = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & own and at["x"] + at["w"] <= 24, panel["title"]
        cells |= own


def test_prometheus_takes_the_rules():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here (Debian package prometheus)")
    done = subprocess.run(
        [promtool, "check", "rules", DEPLOY / "prometheus-alerts.yml"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_takes_the_unit(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here (Debian package systemd)")
    # The program is not installed where the tests run; any program stands in for it.
    unit = tmp_path / "hearth.service"
    unit.write_text((DEPLOY / "hearth.service").read_text().replace("/usr/local/bin/hearth", "/bin/true"))
    done = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, timeout=60)
    told = [line for line in done.stderr.splitlines() if "hearth.service" in line]
    assert done.returncode == 0 and not told, done.stderr


def test_the_unit_delegates_and_keeps_the_capabilities_that_the_daemon_asks_for():
    unit = (DEPLOY / "hearth.service").read_text()
    settings = {}
    for line in unit.splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            settings[key] = f"{settings.get(key, '')} {value}".strip()
    assert settings["Delegate"] == "yes" and settings["KillMode"] == "mixed"
    needed = re.findall(r'"(CAP_[A-Z_]+)"', (REPOSITORY / "src/sandbox/privileges.rs").read_text())
    assert needed and set(needed) <= set(settings["CapabilityBoundingSet"].split())
    # The drain and ten seconds more.
    assert int(settings["TimeoutStopSec"]) >= 30 + 10
