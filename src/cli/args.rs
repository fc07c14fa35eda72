//! The command line as types: every verb, argument and option, with the texts that `--help` shows.
//!
//! Parsing only: what an option means is the business of the verb's own file. Options of the daemon itself (`serve`,
//! `config`) take no environment here, because the configuration reads its own and remembers where a value came from.

use super::duration::Since;
use super::help;
use super::simulate::Simulate;
use super::top::Sort;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "hearth",
    version,
    about = "A self-hosted, AWS-Lambda-compatible function runtime",
    after_help = help::TOP,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the daemon
    #[command(after_help = help::SERVE)]
    Serve(Serve),
    /// Create or update a function from a directory, a file or a zip
    #[command(after_help = help::DEPLOY)]
    Deploy(Box<Deploy>),
    /// Run a function and print its answer
    #[command(after_help = help::INVOKE)]
    Invoke(Invoke),
    /// List the functions
    #[command(after_help = help::LIST)]
    List(List),
    /// Show one function
    #[command(after_help = help::GET)]
    Get(Get),
    /// Delete a function and its code; its logs stay for as long as logs are kept
    #[command(after_help = help::DELETE)]
    Delete(Delete),
    /// Show what a function and its environments logged
    #[command(after_help = help::LOGS)]
    Logs(Logs),
    /// Say why an invocation was cold, waited or was refused, and which setting would change that
    #[command(after_help = help::WHY)]
    Why(Why),
    /// Watch functions, environments, limits, throttles and latencies
    #[command(after_help = help::TOP_VIEW)]
    Top(Top),
    /// Say what this host offers, what is missing and how to get it
    #[command(after_help = help::DOCTOR)]
    Doctor(Doctor),
    /// See what a load would do under which limits, in virtual time, or run a recording again
    #[command(after_help = help::SIMULATE)]
    Simulate(Box<Simulate>),
    /// Call any operation of the API by its name, as the aws CLI does, or print the table of them
    #[command(subcommand, arg_required_else_help = true)]
    Api(Api),
    /// About the keys that requests are signed with
    #[command(subcommand, arg_required_else_help = true)]
    Keys(Keys),
    /// Print what a shell needs to complete this command line
    #[command(after_help = help::COMPLETION)]
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// About the daemon's configuration
    #[command(subcommand, arg_required_else_help = true)]
    Config(Config),
}

/// Which daemon a client verb speaks to.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Connection {
    /// Where the daemon listens [default: what run.json in the state directory says, else http://127.0.0.1:3001]
    #[arg(long, value_name = "URL", env = "HEARTH_ENDPOINT", hide_env_values = true)]
    pub(crate) endpoint: Option<String>,
    /// State directory of a daemon on this machine [default: /var/lib/hearth]
    #[arg(long, value_name = "DIR", env = "HEARTH_STATE_DIR", hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Certificates (PEM) of the authority that an https endpoint is known by [default: AWS_CA_BUNDLE, else this host's]
    #[arg(long, value_name = "FILE", env = "HEARTH_CA", hide_env_values = true)]
    pub(crate) ca: Option<PathBuf>,
}

/// Sources of the daemon's configuration.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Configuration file [default: /etc/hearth/hearth.toml if it is there]
    #[arg(long, value_name = "FILE", env = "HEARTH_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where functions, code and logs are kept [default: /var/lib/hearth]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<String>,
    /// Address of the API [default: 127.0.0.1:3001]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Address of /healthz and /metrics [default: 127.0.0.1:3002]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin_listen: Option<String>,
}

/// `hearth serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// Write everything the scheduler hears to a new file, for `hearth simulate --replay`
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

/// `hearth deploy`.
#[derive(Args, Debug)]
pub(crate) struct Deploy {
    /// Directory (zipped as it is), single file (zipped alone), .zip, or s3://BUCKET/KEY
    #[arg(required_unless_present = "rootfs")]
    pub(crate) path: Option<PathBuf>,
    /// Directory tree that is the function's whole root, instead of a package
    #[arg(long, value_name = "DIR", conflicts_with_all = ["path", "runtime", "handler", "object_version"])]
    pub(crate) rootfs: Option<PathBuf>,
    /// With --rootfs: the program and its first arguments, one word each; may be repeated
    #[arg(
        long,
        value_name = "WORD",
        requires = "rootfs",
        conflicts_with = "path",
        allow_hyphen_values = true
    )]
    pub(crate) entry_point: Vec<String>,
    /// With --rootfs: further arguments, one word each; may be repeated
    #[arg(
        long,
        value_name = "WORD",
        requires = "rootfs",
        conflicts_with = "path",
        allow_hyphen_values = true
    )]
    pub(crate) command: Vec<String>,
    /// With --rootfs: directory in which the program starts [when created: /]
    #[arg(long, value_name = "DIR", requires = "rootfs", conflicts_with = "path")]
    pub(crate) workdir: Option<String>,
    /// With --rootfs: who the function is inside, as NAME, UID or UID:GID; not root [default: 993:990]
    #[arg(long, value_name = "USER", requires = "rootfs", conflicts_with = "path")]
    pub(crate) user: Option<String>,
    /// Name of the function
    #[arg(long)]
    pub(crate) name: String,
    /// Version of the object that s3://BUCKET/KEY names
    #[arg(long, value_name = "ID")]
    pub(crate) object_version: Option<String>,
    /// Runtime, such as python3.12, nodejs22.x or provided.al2023; needed to create
    #[arg(long)]
    pub(crate) runtime: Option<String>,
    /// Handler, such as app.handler; needed to create (provided.*: bootstrap if not given)
    #[arg(long)]
    pub(crate) handler: Option<String>,
    /// Memory in MB [when created: 128]
    #[arg(long, value_name = "MB")]
    pub(crate) memory: Option<i32>,
    /// Seconds that one invocation may take [when created: 3]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<i32>,
    /// Environment variable; may be repeated, and replaces all that the function had
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) env: Vec<(String, String)>,
    /// Version of a layer; may be repeated, and replaces all that the function had
    #[arg(long = "layer", value_name = "ARN")]
    pub(crate) layers: Vec<String>,
    /// Role whose name the function's credentials carry [when created: one made up for it]
    #[arg(long, value_name = "ARN")]
    pub(crate) role: Option<String>,
    /// Description, for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Size of /tmp in MB [when created: 512]
    #[arg(long, value_name = "MB")]
    pub(crate) ephemeral: Option<i32>,
    /// Wait until the function is ready; this is the default
    #[arg(long, overrides_with = "no_wait")]
    pub(crate) wait: bool,
    /// Return as soon as the last change is accepted
    #[arg(long, overrides_with = "wait")]
    pub(crate) no_wait: bool,
    /// Print the function's configuration as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `hearth invoke`.
#[derive(Args, Debug)]
pub(crate) struct Invoke {
    /// Name or ARN of the function
    pub(crate) name: String,
    /// The event, as JSON; `-` reads standard input [default: {}]
    pub(crate) payload: Option<String>,
    /// File with the event; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "payload")]
    pub(crate) payload_file: Option<PathBuf>,
    /// Print the end of the invocation's log on standard error
    #[arg(long)]
    pub(crate) log: bool,
    /// Client context for the function: a JSON object, or its base64
    #[arg(long, value_name = "JSON")]
    pub(crate) client_context: Option<String>,
    /// Version or alias
    #[arg(long)]
    pub(crate) qualifier: Option<String>,
    /// Check that the function can be invoked, without running it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `hearth list`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `hearth get`.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// Name or ARN of the function
    pub(crate) name: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `hearth delete`.
#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// Name or ARN of the function
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `hearth logs`.
#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// Name or ARN of the function
    pub(crate) name: String,
    /// Go on with new events until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only events since then: 90s, 5m, 2h, 1h30m, 7d, or a moment such as 2026-05-01T12:00:00Z
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<Since>,
    /// The last so many events
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Print one JSON object per event: timestamp (ms), stream, message
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `hearth why`.
#[derive(Args, Debug)]
pub(crate) struct Why {
    /// The request id that the answer carried and the function's log shows
    #[arg(required_unless_present = "function", conflicts_with = "function")]
    pub(crate) request_id: Option<String>,
    /// Name or ARN of a function, also with a version or alias: its last invocations, newest first
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// With --function: so many of them
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50,
        conflicts_with = "request_id",
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub(crate) last: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// State directory of the daemon to ask [default: /var/lib/hearth]
    #[arg(long, value_name = "DIR", env = "HEARTH_STATE_DIR", hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// `hearth top`.
#[derive(Args, Debug)]
pub(crate) struct Top {
    /// Print one snapshot and end; so it does too where standard output is no terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// Print one snapshot as JSON and end
    #[arg(long)]
    pub(crate) json: bool,
    /// Seconds that rates, shares and latencies are over
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) window: u32,
    /// Column that functions are sorted by
    #[arg(long, value_name = "COLUMN", default_value = "rate")]
    pub(crate) sort: Sort,
    /// State directory of the daemon to ask [default: /var/lib/hearth]
    #[arg(long, value_name = "DIR", env = "HEARTH_STATE_DIR", hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// `hearth doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// State directory of the daemon to ask [default: /var/lib/hearth]
    #[arg(long, value_name = "DIR", env = "HEARTH_STATE_DIR", hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// `hearth api …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Api {
    /// Print the table of all operations: requests, members, and whether they work in this release
    #[command(after_help = help::API_DUMP)]
    Dump {
        /// A Markdown table of the operations and their state instead of JSON
        #[arg(long)]
        markdown: bool,
    },
}

/// `hearth keys …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key for auth = "sigv4" and print what a client needs of it
    #[command(after_help = help::KEYS_NEW)]
    New(KeysNew),
}

/// `hearth keys new`.
#[derive(Args, Debug)]
pub(crate) struct KeysNew {
    /// Who signs with it, such as arn:aws:iam::000000000000:user/ci
    #[arg(long, required_unless_present = "service")]
    pub(crate) arn: Option<String>,
    /// Service that signs with it, such as s3.amazonaws.com; resource policies say what it may do
    #[arg(long, value_name = "PRINCIPAL", conflicts_with_all = ["arn", "policy"])]
    pub(crate) service: Option<String>,
    /// Policy document, named as seen from the keys' folder [default: admin.json, which allows everything]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// File that it is added to, as the daemon's `auth_keys` names it
    #[arg(long, value_name = "FILE", default_value = "/etc/hearth/keys.toml")]
    pub(crate) file: PathBuf,
}

/// `hearth config …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print the configuration in force
    #[command(after_help = help::CONFIG_PRINT)]
    Print {
        /// Say where each value came from
        #[arg(long)]
        origins: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        sources: Sources,
    },
    /// Print a configuration file with every key, its default and its meaning
    Sample,
    /// Print the reference of all keys as Markdown
    Reference,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Verb, clap::Error> {
        CommandLine::try_parse_from(line.split(' ')).map(|line| line.verb)
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_client_verb_shows_examples_and_exit_codes_are_documented() {
        let mut command = CommandLine::command();
        assert!(command.render_help().to_string().contains("Exit codes"));
        for verb in
            ["serve", "deploy", "invoke", "list", "get", "delete", "logs", "why", "top", "doctor", "simulate"]
        {
            let text = command.find_subcommand_mut(verb).expect("is a verb").render_long_help().to_string();
            assert!(text.contains("Examples:\n  hearth"), "{verb}: {text}");
            assert!(text.contains("Exit codes:"), "{verb}: {text}");
        }
    }

    #[test]
    fn a_deployment_is_read_in_full() {
        let line = "hearth deploy src --name f --runtime python3.12 --handler a.b --env A=1 --env B=x=y --memory 256";
        let Ok(Verb::Deploy(deploy)) = parse(line) else { panic!("is a deployment") };
        assert_eq!(deploy.env, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x=y".to_owned())]);
        assert_eq!((deploy.memory, deploy.timeout, deploy.no_wait), (Some(256), None, false));
        assert!(parse("hearth deploy src --name f --env A").is_err());
        assert!(parse("hearth deploy src").is_err(), "a name is needed");
    }

    #[test]
    fn a_root_is_deployed_instead_of_a_package() {
        let line = "hearth deploy --rootfs tree --name f --entry-point /app --entry-point -v --command x --workdir /srv";
        let Ok(Verb::Deploy(deploy)) = parse(line) else { panic!("is a deployment") };
        assert_eq!((deploy.entry_point.len(), deploy.command.len()), (2, 1));
        assert!(parse("hearth deploy --name f").is_err(), "something has to be deployed");
        assert!(parse("hearth deploy src --rootfs tree --name f").is_err());
        assert!(parse("hearth deploy --rootfs tree --name f --runtime python3.12").is_err());
        assert!(parse("hearth deploy src --name f --user app").is_err());
    }

    #[test]
    fn the_last_of_wait_and_no_wait_holds() {
        for (flags, no_wait) in [("--wait --no-wait", true), ("--no-wait --wait", false), ("--no-wait", true)]
        {
            let Ok(Verb::Deploy(deploy)) = parse(&format!("hearth deploy p --name f {flags}")) else {
                panic!("{flags}")
            };
            assert_eq!(deploy.no_wait, no_wait, "{flags}");
        }
    }

    #[test]
    fn a_payload_comes_from_one_place() {
        assert!(parse("hearth invoke f {}").is_ok());
        assert!(parse("hearth invoke f -").is_ok());
        assert!(parse("hearth invoke f --payload-file -").is_ok());
        assert!(parse("hearth invoke f {} --payload-file x").is_err());
    }

    #[test]
    fn a_reason_is_asked_for_by_request_or_by_function() {
        let id = "6a3f0d0e-0000-4000-8000-000000000000";
        assert!(parse(&format!("hearth why {id}")).is_ok());
        let Ok(Verb::Why(why)) = parse("hearth why --function f --last 7 --json") else {
            panic!("is a question")
        };
        assert!(why.function.as_deref() == Some("f") && why.last == 7 && why.json);
        for wrong in
            ["", " x --function f", " x --last 3", " --function f --last 0", " --function f --last 1001"]
        {
            assert!(parse(&format!("hearth why{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_view_has_a_bounded_window_and_a_known_order() {
        let Ok(Verb::Top(top)) = parse("hearth top --once --sort p99 --window 60") else {
            panic!("is a view")
        };
        assert!(top.once && top.window == 60 && top.sort == Sort::P99);
        assert!(parse("hearth top --sort colour").is_err());
        assert!(parse("hearth top --window 0").is_err());
    }

    #[test]
    fn logs_take_durations_and_bounded_limits() {
        let Ok(Verb::Logs(logs)) = parse("hearth logs f -f --since 5m") else { panic!("are logs") };
        assert!(logs.follow && logs.limit == 200);
        assert!(parse("hearth logs f --since soon").is_err());
        assert!(parse("hearth logs f --limit 0").is_err());
        assert!(parse("hearth logs f --limit 10001").is_err());
    }
}
