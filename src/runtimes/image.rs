//! Functions whose code is a root of their own: what their `ImageUri` and `ImageConfig` say, and the process that comes of it.
//!
//! A local root has no settings of its own beside a user, which stands in its address
//! (`hearth-rootfs:sha256:<hash>[?user=<uid>:<gid>]`); entry point, command and working directory are the function's.
//! Source of the rules: AWS documentation, "Create a Lambda function using a container image"; of the texts: AWS's runtime
//! interface emulator.

use super::Served;
use super::process::{self, Context};
use hearth_api::shapes::ImageConfig;
use hearth_sandbox::spec::ProcessSpec;
use hearth_sandbox::{Digest, InnerUser};
use serde_json::Value;
use std::fmt;

/// Error type of a program that cannot be started.
pub(crate) const INVALID_ENTRYPOINT: &str = "Runtime.InvalidEntrypoint";
/// Error type of a working directory that cannot be entered.
pub(crate) const INVALID_WORKING_DIR: &str = "Runtime.InvalidWorkingDir";
/// What the address of a local root begins with.
const SCHEME: &str = "hearth-rootfs:sha256:";
const USER: &str = "user=";
/// Folders of `PATH` that are looked in.
const PATH_MAX: usize = 64;
/// Bytes of a program's name that is looked up in `PATH`.
const PROGRAM_MAX: usize = 255;

/// The address of a root that this daemon has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RootUri {
    /// SHA-256 of its archive.
    pub(crate) digest: Digest,
    /// Who the function is inside.
    pub(crate) user: InnerUser,
}

/// Why an address is not one of a local root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotLocal {
    /// A registry's.
    Foreign,
    /// Ours by its beginning, and wrong after it.
    Malformed,
}

impl RootUri {
    /// Reads an address.
    pub(crate) fn parse(text: &str) -> Result<Self, NotLocal> {
        let rest = text.strip_prefix(SCHEME).ok_or(NotLocal::Foreign)?;
        let (hash, query) = rest.split_once('?').map_or((rest, None), |(hash, query)| (hash, Some(query)));
        let lower = !hash.bytes().any(|byte| byte.is_ascii_uppercase());
        let digest = Digest::parse(hash).filter(|_| lower).ok_or(NotLocal::Malformed)?;
        let Some(query) = query else { return Ok(Self { digest, user: InnerUser::default() }) };
        let ids =
            query.strip_prefix(USER).and_then(|user| user.split_once(':')).ok_or(NotLocal::Malformed)?;
        let id = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let (Some(uid), Some(gid)) = (id(ids.0), id(ids.1)) else { return Err(NotLocal::Malformed) };
        Some(InnerUser { uid, gid })
            .filter(|user| user.is_allowed())
            .map(|user| Self { digest, user })
            .ok_or(NotLocal::Malformed)
    }
}

impl fmt::Display for RootUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.digest.hex())?;
        if self.user == InnerUser::default() {
            return Ok(());
        }
        write!(f, "?{USER}{}:{}", self.user.uid, self.user.gid)
    }
}

/// How a function with a root of its own starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    entry_point: Vec<String>,
    command: Vec<String>,
    directory: String,
    /// Who it is inside.
    pub(crate) user: InnerUser,
}

impl Image {
    /// From what is stored; both were checked before they were.
    pub(crate) fn of(uri: Option<&str>, config: Option<&Value>) -> Self {
        let config: ImageConfig =
            config.and_then(|config| serde_json::from_value(config.clone()).ok()).unwrap_or_default();
        let directory = config.working_directory.filter(|directory| !directory.is_empty());
        Self {
            entry_point: config.entry_point.unwrap_or_default(),
            command: config.command.unwrap_or_default(),
            directory: beneath("/", directory.as_deref().unwrap_or("/")),
            user: uri.and_then(|uri| RootUri::parse(uri).ok()).map(|uri| uri.user).unwrap_or_default(),
        }
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.entry_point.iter().chain(&self.command).map(String::as_str)
    }

    fn program(&self) -> &str {
        self.words().next().unwrap_or_default()
    }

    /// The process: entry point and command, no shell, looked up in the root's own `PATH`.
    pub(crate) fn process(&self, served: &Served, context: &Context<'_>) -> ProcessSpec {
        // The first word of the command stands where the handler stands for others.
        let handler = self.command.first().map(String::as_str).unwrap_or_default();
        let environment = process::environment(served, &Context { handler, ..*context });
        let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
        ProcessSpec {
            candidates: self.candidates(path),
            arguments: self.words().skip(1).map(str::to_owned).collect(),
            directory: self.directory.clone(),
            environment: environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            failure_is_exit: false,
        }
    }

    fn candidates(&self, path: &str) -> Vec<String> {
        let program = self.program();
        if program.contains('/') {
            return vec![beneath(&self.directory, program)];
        }
        if program.is_empty() || program.len() > PROGRAM_MAX {
            return Vec::new();
        }
        // An empty part of PATH is the working directory.
        let folders = path.split(':').take(PATH_MAX);
        folders.map(|folder| beneath(&beneath(&self.directory, folder), program)).collect()
    }

    /// What is said when there is no such program.
    pub(crate) fn not_found(&self) -> String {
        let program = self.program();
        if program.contains('/') {
            format!("fork/exec {program}: no such file or directory")
        } else {
            format!("exec: {program:?}: executable file not found in $PATH")
        }
    }

    /// The line in the function's log.
    pub(crate) fn launch_error(&self, why: &str) -> String {
        format!(
            "IMAGE\tLaunch error: {why}\tEntrypoint: [{}]\tCmd: [{}]\tWorkingDir: [{}]\n",
            self.entry_point.join(" "),
            self.command.join(" "),
            self.directory
        )
    }
}

/// A path as seen from a folder.
fn beneath(folder: &str, path: &str) -> String {
    match (path, folder.ends_with('/')) {
        ("", _) => folder.to_owned(),
        (path, _) if path.starts_with('/') => path.to_owned(),
        (path, true) => format!("{folder}{path}"),
        (path, false) => format!("{folder}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for query in ["", "?user=1000:1000", "?user=65534:0"] {
            let text = format!("{SCHEME}{HASH}{query}");
            assert_eq!(RootUri::parse(&text).map(|uri| uri.to_string()), Ok(text));
        }
        let usual = format!("{SCHEME}{HASH}?user=993:990");
        assert_eq!(RootUri::parse(&usual).map(|uri| uri.to_string()), Ok(format!("{SCHEME}{HASH}")));
    }

    #[test]
    fn what_is_no_address_of_a_local_root_is_told_apart() {
        for foreign in ["", "hearth-rootfs", "public.ecr.aws/lambda/python:3.12", "x/hearth-rootfs:sha256:0"]
        {
            assert_eq!(RootUri::parse(foreign), Err(NotLocal::Foreign), "{foreign}");
        }
        let rests = ["", "0", "../../etc", "?user=1:1"].map(str::to_owned);
        let queries = [
            "?",
            "?user=",
            "?user=1",
            "?user=0:0",
            "?user=-1:1",
            "?user=+1:1",
            "?user=1:1:1",
            "?user=4294967295:1",
            "?gid=1",
        ];
        let wrong = rests.into_iter().chain(queries.map(|query| format!("{HASH}{query}")));
        for rest in wrong.chain([HASH.to_uppercase(), format!("{HASH}0")]) {
            assert_eq!(RootUri::parse(&format!("{SCHEME}{rest}")), Err(NotLocal::Malformed), "{rest}");
        }
    }

    fn image(config: &Value) -> Image {
        Image::of(None, Some(config))
    }

    #[test]
    fn programs_are_looked_up_in_path_or_in_the_working_directory() {
        let by_name = image(&json!({ "EntryPoint": ["app", "-v"], "WorkingDirectory": "/srv" }));
        assert_eq!(by_name.candidates("/bin:rel::/x/"), ["/bin/app", "/srv/rel/app", "/srv/app", "/x/app"]);
        let relative = image(&json!({ "Command": ["./app"], "WorkingDirectory": "srv" }));
        assert_eq!(relative.candidates("/bin"), ["/srv/./app"]);
        assert_eq!(image(&json!({ "Command": ["/app"] })).candidates("/bin"), ["/app"]);
        assert!(image(&json!({})).candidates("/bin").is_empty());
        assert!(image(&json!({ "Command": ["x".repeat(300)] })).candidates("/bin").is_empty());
    }

    #[test]
    fn a_failed_start_is_told_as_the_service_tells_it() {
        let missing = image(&json!({ "EntryPoint": ["/x"], "Command": ["a", "b"] }));
        assert_eq!(missing.not_found(), "fork/exec /x: no such file or directory");
        assert_eq!(
            missing.launch_error("why"),
            "IMAGE\tLaunch error: why\tEntrypoint: [/x]\tCmd: [a b]\tWorkingDir: [/]\n"
        );
        let unknown = image(&json!({ "EntryPoint": ["x"] }));
        assert_eq!(unknown.not_found(), "exec: \"x\": executable file not found in $PATH");
    }
}
