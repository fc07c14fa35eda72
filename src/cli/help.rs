//! Texts below each verb's `--help`: examples that work as they stand, and the exit codes that scripts rely on.
//!
//! A paragraph is one line here: the terminal's width breaks it.

/// `hearth --help`.
pub(super) const TOP: &str = "\
Examples:
  hearth serve       run the daemon (as root)
  hearth doctor      see what this host lacks
  hearth deploy app.py --name hello --runtime python3.12 --handler app.handler
  hearth invoke hello '{\"who\":\"me\"}'

Exit codes:
  0  done
  1  failed; one sentence on standard error says why
  2  the command line is wrong
  3  invoke: the function failed; its error document is on standard output

Client verbs find the daemon by --endpoint or HEARTH_ENDPOINT, else by run.json in the state directory \
(--state-dir, HEARTH_STATE_DIR, /var/lib/hearth), else, if no directory was named, at http://127.0.0.1:3001. \
Requests are signed if AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile of the aws CLI hold keys. \
Colours appear on terminals only, and never with NO_COLOR set.";

/// `hearth serve --help`.
pub(super) const SERVE: &str = "\
Prints one line, `hearth: listening on http://HOST:PORT`, when it is ready; logs go to standard error. SIGTERM and \
SIGINT drain: no new work, running invocations finish within a grace. Flags win over HEARTH_… variables, these over \
the file; `hearth config reference` lists all keys.

Examples:
  hearth serve
  hearth serve --state-dir /srv/hearth --listen 127.0.0.1:0
  HEARTH_LOG__LEVEL=debug hearth serve --config ./hearth.toml

Exit codes: 0 after a signal, 1 if it could not start or had to stop, 2 for a wrong command line.";

/// `hearth keys new --help`.
pub(super) const KEYS_NEW: &str = "\
Adds an entry to the file and prints two lines for a shell; the secret is shown this once. The file is made with mode \
600; the daemon refuses one that others can read. A policy is an IAM policy document in JSON.

Examples:
  hearth keys new --arn arn:aws:iam::000000000000:user/ci
  eval \"$(hearth keys new --arn arn:aws:iam::000000000000:user/ci --policy ci.json)\"
  hearth keys new --service s3.amazonaws.com

Exit codes: 0 added, 1 failed, 2 for a wrong command line.";

/// `hearth deploy --help`.
pub(super) const DEPLOY: &str = "\
Creates the function if there is none of that name; else changes what is given and leaves the rest. Code and settings \
that are the same already are not sent again. Directories are zipped reproducibly: sorted, without times, execute bits \
and links inside kept; .git and __pycache__ are left out. A single file named bootstrap is made executable. An object \
s3://BUCKET/KEY is fetched by the daemon, from the store and with the credentials that it is configured with.

With --rootfs the function's whole file system is the given tree, read-only, with /tmp, /proc and a few devices of its \
own; its program speaks the Runtime API. The tree goes to a daemon on this machine through its admin socket (for root \
and the daemon's own user), at most 10 GiB; owners, devices and set-uid bits are not kept, and what a link leads to is looked up \
in the tree. Entry point, command and working directory are laid over those that the function has.

Examples:
  hearth deploy ./app --name hello --runtime python3.12 --handler app.handler
  hearth deploy bootstrap --name native --runtime provided.al2023
  hearth deploy build.zip --name hello --memory 512 --timeout 30 --env STAGE=test
  hearth deploy --rootfs ./tree --name own --entry-point /usr/bin/app --workdir /srv --user app
  hearth deploy s3://builds/hello.zip --name hello

Exit codes: 0 deployed (or unchanged), 1 refused or failed, 2 for a wrong command line.";

/// `hearth invoke --help`.
pub(super) const INVOKE: &str = "\
The answer goes to standard output as it came; everything else goes to standard error.

Examples:
  hearth invoke hello
  hearth invoke hello '{\"who\":\"me\"}' --log
  hearth invoke hello --payload-file event.json
  generate-event | hearth invoke hello -

Exit codes: 0 the function answered, 3 the function failed (its error document is on standard output), 1 it could not \
be invoked, 2 for a wrong command line.";

/// `hearth list --help`.
pub(super) const LIST: &str = "\
A table on a terminal, columns separated by tabs (without heading) otherwise: name, runtime, handler, memory in MB, \
timeout in seconds, code size in bytes, last modified.

Examples:
  hearth list
  hearth list | cut -f1
  hearth list --json

Exit codes: 0 listed, 1 failed, 2 for a wrong command line.";

/// `hearth get --help`.
pub(super) const GET: &str = "\
Examples:
  hearth get hello
  hearth get hello --json

Exit codes: 0 shown, 1 failed or no such function, 2 for a wrong command line.";

/// `hearth delete --help`.
pub(super) const DELETE: &str = "\
Examples:
  hearth delete hello

Exit codes: 0 deleted, 1 failed or no such function, 2 for a wrong command line.";

/// `hearth logs --help`.
pub(super) const LOGS: &str = "\
Logs come through the admin socket of a daemon on this machine: --state-dir says which. They outlive the function.

Examples:
  hearth logs hello
  hearth logs hello -f --since 5m
  hearth logs hello --limit 1000 --json

Exit codes: 0 shown, 1 failed, or neither a function nor logs of that name, 2 for a wrong command line.";

/// `hearth why --help`.
pub(super) const WHY: &str = "\
The daemon of the state directory holds the last 65,536 decisions since it was started. Through its admin socket it \
tells what an invocation found (a warm environment, a cold or a provisioned one), what it waited for, which limit \
refused it and what went for it; the sentences name the setting that would change it. The request id is x-amzn-RequestId \
of the answer, and in the log's START, END and REPORT lines.

--function prints a table on a terminal, columns separated by tabs (without heading) otherwise: time, request id, \
qualifier or version, outcome, start, time waited, init time, duration, reason.

Examples:
  hearth why 8f2c9e4e-7a0d-4f5c-9d3b-0c1f2a3b4c5d
  hearth why --function hello --last 50
  hearth why --function hello:live --json

Exit codes: 0 told, 1 failed, or nothing is known of it (any more), 2 for a wrong command line.";

/// `hearth top --help`.
pub(super) const TOP_VIEW: &str = "\
Asks the daemon of the state directory, through its admin socket, once a second. Latencies are from the coming of an \
invocation to its end, waiting included; rates, shares and latencies are over the window, or over what the daemon's \
records span if that is less.

Keys: s sorts by the next column, S by the one before, r turns the order around, q (or Ctrl-C) ends.

Examples:
  hearth top
  hearth top --sort p99 --window 60
  hearth top --once
  hearth top --json

Exit codes: 0 shown, 1 failed, 2 for a wrong command line.";

/// `hearth doctor --help`.
pub(super) const DOCTOR: &str = "\
Looks at this host, and asks the daemon of the state directory if one runs. Changes nothing. Run it as the user that \
will run `hearth serve` (root), because that is whose privileges count.

Examples:
  hearth doctor
  sudo hearth doctor --json

Exit codes: 0 nothing essential is missing, 1 something is, 2 for a wrong command line.";

/// `hearth simulate --help`.
pub(super) const SIMULATE: &str = "\
Runs the daemon's own scheduler in virtual time: no daemon, no sandboxes, hours within seconds. The same seed gives the \
same result, to the byte. sample-workloads/README.md describes workload files, traces and the figures.

--vary and --set know: profile, scaling, scaling-burst, scaling-per-minute, requests-per-concurrency, \
requests-per-environment, account-limit, memory-capacity-mb, overcommit, environments-max, concurrent-starts, \
waiting-max, wait-max-s, idle-timeout-s, recycle-after-s, freeze-after-ms, start-reserve-mb; and of functions (FUNCTION.KEY for one of them) arrivals, rate, load, reserved, provisioned, memory-mb, \
duration-ms, init-ms, launch-ms.

Examples:
  hearth simulate --rate 100 --duration-ms 500
  hearth simulate --rate 80 --arrivals poisson --duration-ms lognormal:120:900 --init-ms 250 --vary provisioned=0,10,20
  hearth simulate workload.toml --vary profile=aws,box --vary load=1,2 --json
  hearth simulate --trace calls.csv --init-ms 200 --reserved 5
  hearth simulate --replay yesterday.rec
  hearth simulate --replay yesterday.rec --vary account-limit=100,500

Exit codes: 0 simulated (replay: every decision as recorded), 1 a file is wrong or a decision differs, 2 for a wrong \
command line.";

/// `hearth api dump --help`.
pub(super) const API_DUMP: &str = "\
Examples:
  hearth api dump
  hearth api dump --markdown

Exit codes: 0 printed, 2 for a wrong command line.";

/// `hearth completion --help`.
pub(super) const COMPLETION: &str = "\
Examples:
  hearth completion bash > /etc/bash_completion.d/hearth
  hearth completion zsh > /usr/share/zsh/vendor-completions/_hearth

Exit codes: 0 printed, 2 for a wrong command line.";

/// `hearth config print --help`.
pub(super) const CONFIG_PRINT: &str = "\
Examples:
  hearth config print --origins
  hearth config print --config ./hearth.toml --json

Exit codes: 0 printed, 1 the configuration is wrong, 2 for a wrong command line.";
