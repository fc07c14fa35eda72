//! `hearth deploy`: creates a function or brings it to what is given, and waits until it is ready.
//!
//! What is the same already is not sent: settings are compared with the function's, code by its hash. Settings come
//! before code, each as an update of its own, as the API has it. Nothing is undone if the second fails.

use super::args;
use super::client::{self, Client};
use super::failure::Failure;
use super::source::{Present, Source};
use super::terminal;
use hearth_api::operations::Operation;
use hearth_api::shapes::{
    CreateFunctionRequest, Environment, EphemeralStorage, FunctionConfiguration, GetFunctionRequest,
    GetFunctionResponse, ImageConfig, UpdateFunctionConfigurationRequest,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Role of functions that are given none: it only has to look like one.
const ROLE: &str = "arn:aws:iam::000000000000:role/hearth-function";
/// Pauses between two looks at a function that is not ready.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Looks at a function that is not ready: about five minutes.
const LOOKS_MAX: u32 = 300;

/// What a deployment came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Created,
    Updated,
    Unchanged,
}

/// Runs the verb.
pub(super) fn run(args: &args::Deploy) -> Result<(), Failure> {
    let source = Source::of(args)?;
    let client = Client::new(&args.connection)?;
    let deployment = Deployment { args, client };
    let (done, mut value) = match deployment.client.configuration(&args.name)? {
        None => (Done::Created, deployment.create(source)?),
        Some(_) => deployment.update(source)?,
    };
    if !args.no_wait {
        value = deployment.settled()?.1;
    }
    report(args, done, &value)
}

struct Deployment<'a> {
    args: &'a args::Deploy,
    client: Client,
}

impl Deployment<'_> {
    fn create(&self, source: Source) -> Result<Value, Failure> {
        let args = self.args;
        let missing = |flag: &str| {
            Failure::Usage(format!(
                "there is no function {} yet, and creating it takes {flag} (see --help)",
                args.name
            ))
        };
        let is_image = args.rootfs.is_some();
        if is_image && args.entry_point.is_empty() && args.command.is_empty() {
            return Err(missing("--entry-point"));
        }
        let runtime = args.runtime.clone();
        if !is_image && runtime.is_none() {
            return Err(missing("--runtime"));
        }
        // The API asks for a handler even where the package brings its own program.
        let is_provided = runtime.as_ref().is_some_and(|runtime| runtime.starts_with("provided"));
        let handler = args.handler.clone().or_else(|| is_provided.then(|| "bootstrap".to_owned()));
        if !is_image && handler.is_none() {
            return Err(missing("--handler"));
        }
        let input = CreateFunctionRequest {
            function_name: Some(args.name.clone()),
            runtime,
            handler,
            package_type: is_image.then(|| "Image".to_owned()),
            image_config: image_config(args, None),
            role: Some(args.role.clone().unwrap_or_else(|| ROLE.to_owned())),
            code: Some(source.code()),
            memory_size: args.memory,
            timeout: args.timeout,
            description: args.description.clone(),
            environment: variables(&args.env).map(|variables| Environment { variables: Some(variables) }),
            ephemeral_storage: args.ephemeral.map(|size| EphemeralStorage { size: Some(size) }),
            layers: (!args.layers.is_empty()).then(|| args.layers.clone()),
            ..Default::default()
        };
        Ok(self.client.call(Operation::CreateFunction, &args.name, &input)?)
    }

    fn update(&self, source: Source) -> Result<(Done, Value), Failure> {
        let name = &self.args.name;
        // Nothing can be changed while an earlier change is under way.
        let (old, mut value) = self.settled()?;
        let mut done = Done::Unchanged;
        if let Some(changes) = changes(self.args, &old) {
            value = self.client.call(Operation::UpdateFunctionConfiguration, name, &changes)?;
            done = Done::Updated;
        }
        let image = if self.args.rootfs.is_some() { self.image()? } else { None };
        if !source.is(&Present { sha256: old.code_sha256.clone(), image }) {
            if done == Done::Updated {
                self.settled()?;
            }
            value = self.client.call(Operation::UpdateFunctionCode, name, &source.update(name))?;
            // What is in a store may turn out to be the same; a root may differ in its user alone.
            if self.args.rootfs.is_some()
                || value.get("CodeSha256").and_then(Value::as_str) != old.code_sha256.as_deref()
            {
                done = Done::Updated;
            }
        }
        Ok((done, value))
    }

    /// The address of the image that the function has.
    fn image(&self) -> Result<Option<String>, Failure> {
        let name = &self.args.name;
        let input = GetFunctionRequest { function_name: Some(name.clone()), ..Default::default() };
        let found: GetFunctionResponse = self.client.call(Operation::GetFunction, name, &input)?;
        Ok(found.code.and_then(|code| code.image_uri))
    }

    /// The function once nothing is under way; a failure if it came out badly or takes too long.
    fn settled(&self) -> Result<(FunctionConfiguration, Value), Failure> {
        let name = &self.args.name;
        let mut pause = PAUSE_MIN;
        for _ in 0..LOOKS_MAX {
            let Some((configuration, value)) = self.client.configuration(name)? else {
                return Err(Failure::because(format!("function {name} was deleted meanwhile")));
            };
            match progress(&configuration) {
                Progress::Ready => return Ok((configuration, value)),
                Progress::Failed(why) => return Err(Failure::because(format!("function {name}: {why}"))),
                Progress::UnderWay => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Err(Failure::because(format!(
            "function {name} is still not ready; `hearth get {name}` shows its state, and the daemon's log may say why"
        )))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Ready,
    UnderWay,
    Failed(String),
}

fn progress(configuration: &FunctionConfiguration) -> Progress {
    let said = |reason: &Option<String>| reason.clone().unwrap_or_else(|| "no reason was given".to_owned());
    match (configuration.state.as_deref(), configuration.last_update_status.as_deref()) {
        (Some("Failed"), _) => Progress::Failed(format!(
            "its creation failed: {} Delete it with `hearth delete`, then deploy again.",
            said(&configuration.state_reason)
        )),
        (Some("Pending"), _) | (_, Some("InProgress")) => Progress::UnderWay,
        (_, Some("Failed")) => {
            Progress::Failed(format!("its update failed: {}", said(&configuration.last_update_status_reason)))
        }
        _ => Progress::Ready,
    }
}

fn variables(given: &[(String, String)]) -> Option<BTreeMap<String, String>> {
    (!given.is_empty()).then(|| given.iter().cloned().collect())
}

/// What is given of an `ImageConfig`, over what there was: the API replaces it as a whole.
fn image_config(args: &args::Deploy, old: Option<&ImageConfig>) -> Option<ImageConfig> {
    let is_given = !args.entry_point.is_empty() || !args.command.is_empty() || args.workdir.is_some();
    let old = old.cloned().unwrap_or_default();
    let words = |given: &[String], old| if given.is_empty() { old } else { Some(given.to_vec()) };
    is_given.then(|| ImageConfig {
        entry_point: words(&args.entry_point, old.entry_point),
        command: words(&args.command, old.command),
        working_directory: args.workdir.clone().or(old.working_directory),
    })
}

/// The settings that are given and differ from the function's; none if there are none.
fn changes(args: &args::Deploy, old: &FunctionConfiguration) -> Option<UpdateFunctionConfigurationRequest> {
    fn differing<T: PartialEq + Clone>(given: &Option<T>, old: Option<&T>) -> Option<T> {
        given.clone().filter(|given| Some(given) != old)
    }
    let old_variables = old.environment.as_ref().and_then(|environment| environment.variables.as_ref());
    let old_storage = old.ephemeral_storage.as_ref().and_then(|storage| storage.size.as_ref());
    let old_layers: Vec<&String> =
        old.layers.iter().flatten().filter_map(|layer| layer.arn.as_ref()).collect();
    let same_layers = args.layers.iter().eq(old_layers);
    let old_image = old.image_config_response.as_ref().and_then(|response| response.image_config.as_ref());
    let changes = UpdateFunctionConfigurationRequest {
        layers: (!args.layers.is_empty() && !same_layers).then(|| args.layers.clone()),
        image_config: differing(&image_config(args, old_image), old_image),
        runtime: differing(&args.runtime, old.runtime.as_ref()),
        handler: differing(&args.handler, old.handler.as_ref()),
        role: differing(&args.role, old.role.as_ref()),
        memory_size: differing(&args.memory, old.memory_size.as_ref()),
        timeout: differing(&args.timeout, old.timeout.as_ref()),
        description: differing(&args.description, old.description.as_ref()),
        environment: differing(&variables(&args.env), old_variables)
            .map(|variables| Environment { variables: Some(variables) }),
        ephemeral_storage: differing(&args.ephemeral, old_storage)
            .map(|size| EphemeralStorage { size: Some(size) }),
        ..Default::default()
    };
    let differs = changes != UpdateFunctionConfigurationRequest::default();
    differs.then(|| UpdateFunctionConfigurationRequest { function_name: Some(args.name.clone()), ..changes })
}

fn report(args: &args::Deploy, done: Done, value: &Value) -> Result<(), Failure> {
    let configuration: FunctionConfiguration =
        client::typed(Operation::GetFunctionConfiguration, &args.name, value.clone())?;
    // An active function with a reason runs, but not quite as asked for.
    if let (Some("Active"), Some(reason)) = (configuration.state.as_deref(), &configuration.state_reason) {
        terminal::say(&format!("hearth: note on {}: {reason}", args.name));
    }
    if args.json {
        return terminal::print_json(value);
    }
    let verb = match done {
        Done::Created => "created",
        Done::Updated => "updated",
        Done::Unchanged => "unchanged",
    };
    let waits = if progress(&configuration) == Progress::UnderWay { ", not ready yet" } else { "" };
    let arn = configuration.function_arn.unwrap_or_default();
    let size = u64::try_from(configuration.code_size.unwrap_or_default()).unwrap_or_default();
    let what = match configuration.package_type.as_deref() {
        Some("Image") => "a root of its own".to_owned(),
        _ => format!("{} of code", terminal::size(size)),
    };
    terminal::print(format!("{} {verb}{waits} ({what}): {arn}\n", args.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{CommandLine, Verb};
    use clap::Parser;
    use hearth_api::shapes::{EnvironmentResponse, ImageConfigResponse};

    fn deploy(flags: &str) -> args::Deploy {
        let line = format!("hearth deploy src --name f{}{flags}", if flags.is_empty() { "" } else { " " });
        match CommandLine::try_parse_from(line.split(' ')).expect("parses").verb {
            Verb::Deploy(deploy) => *deploy,
            other => panic!("{other:?}"),
        }
    }

    fn old() -> FunctionConfiguration {
        let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        FunctionConfiguration {
            runtime: Some("python3.12".to_owned()),
            handler: Some("app.handler".to_owned()),
            memory_size: Some(128),
            timeout: Some(3),
            environment: Some(EnvironmentResponse { variables: Some(variables), ..Default::default() }),
            ephemeral_storage: Some(EphemeralStorage { size: Some(512) }),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_the_same_is_not_sent() {
        assert_eq!(changes(&deploy(""), &old()), None);
        let same =
            "--runtime python3.12 --handler app.handler --memory 128 --timeout 3 --env A=1 --ephemeral 512";
        assert_eq!(changes(&deploy(same), &old()), None);
    }

    #[test]
    fn only_what_differs_is_sent() {
        let changes = changes(&deploy("--memory 256 --timeout 3 --env B=2"), &old()).expect("differs");
        let expected = UpdateFunctionConfigurationRequest {
            function_name: Some("f".to_owned()),
            memory_size: Some(256),
            environment: Some(Environment {
                variables: Some(BTreeMap::from([("B".to_owned(), "2".to_owned())])),
            }),
            ..Default::default()
        };
        assert_eq!(changes, expected);
    }

    #[test]
    fn parts_of_an_image_config_are_laid_over_the_old_one() {
        let words = |word: &str| Some(vec![word.to_owned()]);
        let config = |command: &str| ImageConfig {
            entry_point: words("/app"),
            command: words(command),
            working_directory: None,
        };
        let response = ImageConfigResponse { image_config: Some(config("old")), ..Default::default() };
        let old = FunctionConfiguration { image_config_response: Some(response), ..Default::default() };
        let line = "hearth deploy --rootfs tree --name f --command new";
        let Ok(CommandLine { verb: Verb::Deploy(deploy) }) = CommandLine::try_parse_from(line.split(' '))
        else {
            panic!("is a deployment")
        };
        assert_eq!(changes(&deploy, &old).expect("differs").image_config, Some(config("new")));
        let same = FunctionConfiguration {
            image_config_response: Some(ImageConfigResponse {
                image_config: Some(config("new")),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(changes(&deploy, &same), None);
    }

    #[test]
    fn a_function_is_ready_when_nothing_is_under_way() {
        let at = |state: &str, update: &str| FunctionConfiguration {
            state: Some(state.to_owned()),
            last_update_status: Some(update.to_owned()),
            last_update_status_reason: Some("why".to_owned()),
            ..Default::default()
        };
        assert_eq!(progress(&at("Active", "Successful")), Progress::Ready);
        assert_eq!(progress(&at("Inactive", "Successful")), Progress::Ready);
        assert_eq!(progress(&at("Pending", "InProgress")), Progress::UnderWay);
        assert_eq!(progress(&at("Active", "InProgress")), Progress::UnderWay);
        assert_eq!(progress(&at("Active", "Failed")), Progress::Failed("its update failed: why".to_owned()));
        assert!(matches!(progress(&at("Failed", "Failed")), Progress::Failed(_)));
    }
}
