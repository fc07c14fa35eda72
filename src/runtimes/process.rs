//! How an environment's runtime process is started: program, arguments, and every variable of Lambda's contract.
//!
//! Source of names and defaults: AWS documentation, "Working with Lambda environment variables". Values that functions may override come first, then
//! the function's own, then the reserved ones, so that a reserved name always wins.

use super::{Kind, Language, Served};
use hearth_sandbox::spec::{DOOR, ProcessSpec, RUNTIME_API};
use std::collections::BTreeMap;

/// Names that a function's configuration may not set.
pub(crate) const RESERVED: [&str; 26] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_FORMAT",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_LEVEL",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "_LAMBDA_TELEMETRY_LOG_FD",
];

/// Temporary credentials of one environment; revoked with it.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// Access key id.
    pub(crate) access_key: String,
    /// Secret key.
    pub(crate) secret_key: String,
    /// Session token.
    pub(crate) session_token: String,
}

/// Where a package's code is.
const TASK_ROOT: &str = "/var/task";

/// What an environment needs to know of its function.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Function name.
    pub(crate) function: &'a str,
    /// `$LATEST` or a number.
    pub(crate) version: &'a str,
    /// Runtime name, for example `python3.12`.
    pub(crate) runtime: &'a str,
    /// Handler; empty for runtimes that have none.
    pub(crate) handler: &'a str,
    /// MiB.
    pub(crate) memory_mb: u32,
    /// The function's own variables.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// Region of this installation.
    pub(crate) region: &'a str,
    /// Log group of the function.
    pub(crate) log_group: &'a str,
    /// Log stream of this environment.
    pub(crate) log_stream: &'a str,
    /// `Some(level)` when the function logs in JSON.
    pub(crate) json_log_level: Option<&'a str>,
    /// `AWS_LAMBDA_INITIALIZATION_TYPE`.
    pub(crate) initialization: &'a str,
    /// Bearer token of the metadata endpoint.
    pub(crate) metadata_token: &'a str,
    /// Temporary credentials.
    pub(crate) credentials: &'a Credentials,
}

/// The process of this runtime.
pub(crate) fn spec(served: &Served, context: &Context<'_>) -> ProcessSpec {
    let (candidates, arguments) = command(served, context.handler);
    let wrapper = context.variables.get("AWS_LAMBDA_EXEC_WRAPPER").filter(|path| !path.is_empty());
    let environment =
        environment(served, context).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    match (wrapper, served.kind) {
        (Some(wrapper), Kind::Interpreted(..)) => ProcessSpec {
            candidates: vec![wrapper.clone()],
            arguments: candidates.into_iter().chain(arguments).collect(),
            environment,
            directory: TASK_ROOT.to_owned(),
            failure_is_exit: true,
        },
        _ => ProcessSpec {
            candidates,
            arguments,
            environment,
            directory: TASK_ROOT.to_owned(),
            failure_is_exit: false,
        },
    }
}

fn command(served: &Served, handler: &str) -> (Vec<String>, Vec<String>) {
    let program = |default: &str| {
        let own = served.interpreter.as_ref().map(|found| found.program.as_str());
        format!("/var/lang/{}", own.unwrap_or(default))
    };
    match served.kind {
        Kind::Interpreted(Language::Python, _) => {
            let is_compiled =
                served.interpreter.as_ref().is_some_and(|found| found.compiled_client.is_some());
            let client = if is_compiled { "/var/runtime/bootstrap.pyc" } else { "/var/runtime/bootstrap.py" };
            (vec![program("bin/python3")], vec![client.to_owned(), handler.to_owned()])
        }
        Kind::Interpreted(Language::Node, _) => {
            (vec![program("bin/node")], vec!["/var/runtime/index.mjs".to_owned(), handler.to_owned()])
        }
        Kind::Provided | Kind::Image => (bootstraps().map(str::to_owned).to_vec(), Vec::new()),
    }
}

/// Where `provided` runtimes look for their program, in order.
pub(crate) const fn bootstraps() -> [&'static str; 3] {
    ["/var/task/bootstrap", "/opt/bootstrap", "/var/runtime/bootstrap"]
}

/// Every variable of a process.
pub(super) fn environment(served: &Served, context: &Context<'_>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    let managed = matches!(served.kind, Kind::Interpreted(..));
    if served.kind == Kind::Image {
        // What lies where is the root's own business: only what every container has.
        set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    } else {
        let path = "/usr/local/bin:/usr/bin/:/bin:/opt/bin";
        set("PATH", &if managed { format!("/var/lang/bin:{path}") } else { path.to_owned() });
        set(
            "LD_LIBRARY_PATH",
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        );
        set("LANG", "en_US.UTF-8");
        set("TZ", ":UTC");
    }
    set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
    set("AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1:2000");
    set("_AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1");
    set("_AWS_XRAY_DAEMON_PORT", "2000");
    set("AWS_ENDPOINT_URL_LAMBDA", &format!("http://{DOOR}"));
    match served.kind {
        Kind::Interpreted(Language::Python, _) => set("PYTHONPATH", "/var/runtime"),
        Kind::Interpreted(Language::Node, major) => set(
            "NODE_PATH",
            &format!(
                "/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"
            ),
        ),
        Kind::Provided | Kind::Image => {}
    }
    for (name, value) in context.variables {
        set(name, value);
    }
    set_reserved(managed, context, &mut set);
    if served.kind == Kind::Image {
        set("AWS_EXECUTION_ENV", "AWS_Lambda_Image");
    }
    all
}

fn set_reserved(managed: bool, context: &Context<'_>, set: &mut impl FnMut(&str, &str)) {
    set("_HANDLER", context.handler);
    set("AWS_REGION", context.region);
    set("AWS_DEFAULT_REGION", context.region);
    if managed {
        set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{}", context.runtime));
        // Our clients write records of several lines as frames, into the same pipe so that order is kept.
        set("_LAMBDA_TELEMETRY_LOG_FD", "1");
    }
    set("AWS_LAMBDA_FUNCTION_NAME", context.function);
    set("AWS_LAMBDA_FUNCTION_VERSION", context.version);
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &context.memory_mb.to_string());
    set("AWS_LAMBDA_INITIALIZATION_TYPE", context.initialization);
    set("AWS_LAMBDA_LOG_GROUP_NAME", context.log_group);
    set("AWS_LAMBDA_LOG_STREAM_NAME", context.log_stream);
    set("AWS_ACCESS_KEY_ID", &context.credentials.access_key);
    set("AWS_SECRET_ACCESS_KEY", &context.credentials.secret_key);
    set("AWS_SESSION_TOKEN", &context.credentials.session_token);
    set("AWS_LAMBDA_RUNTIME_API", RUNTIME_API);
    set("AWS_LAMBDA_METADATA_API", DOOR);
    set("AWS_LAMBDA_METADATA_TOKEN", context.metadata_token);
    set("LAMBDA_TASK_ROOT", TASK_ROOT);
    set("LAMBDA_RUNTIME_DIR", "/var/runtime");
    if let Some(level) = context.json_log_level {
        set("AWS_LAMBDA_LOG_FORMAT", "JSON");
        set("AWS_LAMBDA_LOG_LEVEL", level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtimes::Interpreter;

    fn served(kind: Kind) -> Served {
        let interpreter = Interpreter {
            language: Language::Python,
            version: 12,
            prefix: "/opt/python".into(),
            program: "bin/python3.12".to_owned(),
            compiled_client: None,
            release: "Python 3.12.0".to_owned(),
        };
        let interpreter = matches!(kind, Kind::Interpreted(..)).then_some(interpreter);
        Served { interpreter, substitute: None, kind }
    }

    fn build(kind: Kind, variables: &[(&str, &str)]) -> ProcessSpec {
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let credentials = Credentials {
            access_key: "ASIA".to_owned(),
            secret_key: "secret".to_owned(),
            session_token: "token".to_owned(),
        };
        let context = Context {
            function: "f",
            version: "$LATEST",
            runtime: "python3.12",
            handler: "app.handler",
            memory_mb: 128,
            variables: &variables,
            region: "us-east-1",
            log_group: "/aws/lambda/f",
            log_stream: "s",
            json_log_level: None,
            initialization: "on-demand",
            metadata_token: "t",
            credentials: &credentials,
        };
        spec(&served(kind), &context)
    }

    #[test]
    fn a_reserved_name_cannot_be_overridden_by_the_function() {
        let process =
            build(Kind::Interpreted(Language::Python, 12), &[("AWS_REGION", "mars"), ("LANG", "C")]);
        assert!(process.environment.contains(&"AWS_REGION=us-east-1".to_owned()));
        assert!(process.environment.contains(&"LANG=C".to_owned()));
    }

    #[test]
    fn a_wrapper_gets_the_interpreters_command_line() {
        let python = Kind::Interpreted(Language::Python, 12);
        let process = build(python, &[("AWS_LAMBDA_EXEC_WRAPPER", "/var/task/wrap")]);
        assert_eq!(process.candidates, ["/var/task/wrap"]);
        assert_eq!(
            process.arguments,
            ["/var/lang/bin/python3.12", "/var/runtime/bootstrap.py", "app.handler"]
        );
        assert!(process.failure_is_exit);
    }

    #[test]
    fn provided_runtimes_have_no_execution_env_and_no_wrapper() {
        let process = build(Kind::Provided, &[("AWS_LAMBDA_EXEC_WRAPPER", "/var/task/wrap")]);
        assert_eq!(process.candidates[0], "/var/task/bootstrap");
        assert!(!process.environment.iter().any(|line| line.starts_with("AWS_EXECUTION_ENV")));
    }
}
