//! `hearth config …`: the configuration in force and its origins, a sample file, the reference of keys. Also loads the
//! configuration for `serve`, so that both see the same.
//!
//! What keys there are and what they mean is `config`'s business; here the sources are gathered and results are shown.

use super::args;
use super::failure::Failure;
use super::terminal;
use crate::config::{Config, render_reference, render_sample};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Read if it is there and no other file is named.
const FILE: &str = "/etc/hearth/hearth.toml";
/// Variables of the client's that only look like settings.
const NO_SETTINGS: [&str; 2] = ["HEARTH_CONFIG", "HEARTH_ENDPOINT"];

/// A configuration as `config` loaded it, and how it reads.
pub(super) struct Loaded {
    /// For the daemon.
    pub(super) config: Config,
    /// `HEARTH_…` variables that are no settings.
    pub(super) ignored: Vec<String>,
    /// As TOML.
    plain: String,
    /// As TOML, each line with a comment on its origin.
    noted: String,
}

/// Runs the verb.
pub(super) fn run(args: &args::Config) -> Result<(), Failure> {
    match args {
        args::Config::Print { origins, json, sources } => {
            let found = load(sources)?;
            match (*json, *origins) {
                (true, _) => terminal::print_json(&found.as_json(*origins)?),
                (false, true) => terminal::print(&found.noted),
                (false, false) => terminal::print(&found.plain),
            }
        }
        args::Config::Sample => terminal::print(render_sample()),
        args::Config::Reference => terminal::print(render_reference()),
    }
}

/// The daemon's configuration from the file, this process's environment and the given flags.
pub(super) fn load(sources: &args::Sources) -> Result<Loaded, Failure> {
    let file = file(sources.config.as_deref(), Path::new(FILE));
    // Names and values that are not text belong to somebody else.
    let variables =
        std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    let environment: Vec<(String, String)> = variables
        .filter(|(name, _)| name.starts_with("HEARTH_") && !NO_SETTINGS.contains(&name.as_str()))
        .collect();
    Loaded::from_sources(file.as_deref(), &environment, sources)
}

fn file(given: Option<&Path>, usual: &Path) -> Option<PathBuf> {
    match given.filter(|path| !path.as_os_str().is_empty()) {
        Some(given) => Some(given.to_owned()),
        None => usual.exists().then(|| usual.to_owned()),
    }
}

fn flags(sources: &args::Sources) -> Vec<(&'static str, String)> {
    let given = [
        ("state_dir", &sources.state_dir),
        ("listen", &sources.listen),
        ("admin_listen", &sources.admin_listen),
    ];
    given.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
}

impl Loaded {
    fn from_sources(
        file: Option<&Path>,
        environment: &[(String, String)],
        sources: &args::Sources,
    ) -> Result<Self, Failure> {
        let (config, origins) = Config::load(file, environment, &flags(sources))?;
        let (plain, noted) = (origins.render(false), origins.render(true));
        Ok(Self { config, ignored: origins.ignored().to_vec(), plain, noted })
    }

    /// The settings as nested objects, or by dotted key with their origins.
    fn as_json(&self, with_origins: bool) -> Result<Value, Failure> {
        if !with_origins {
            return Ok(toml::from_str(&self.plain)?);
        }
        let mut settings = Map::new();
        let lines = self.plain.lines().zip(self.noted.lines()).filter(|(line, _)| !line.starts_with('#'));
        // The same but for the note, so that what is left over is the note, whatever the value holds.
        for (plain, noted) in lines {
            let (key, value) = flatten(toml::from_str(plain)?);
            let origin = noted.strip_prefix(plain).unwrap_or_default().trim_start_matches([' ', '#']);
            settings.insert(key, json!({ "value": value, "origin": origin }));
        }
        Ok(Value::Object(settings))
    }
}

/// The one setting of a line: its dotted key and its value.
fn flatten(mut value: Value) -> (String, Value) {
    let mut key = String::new();
    loop {
        let inner = match &value {
            Value::Object(map) => map.iter().next().map(|(name, inner)| (name.clone(), inner.clone())),
            _ => None,
        };
        let Some((name, inner)) = inner else { return (key, value) };
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(&name);
        value = inner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(environment: &[(&str, &str)], sources: &args::Sources) -> Loaded {
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Loaded::from_sources(None, &environment, sources).expect("is a configuration")
    }

    #[test]
    fn json_has_the_settings_as_toml_has_them() {
        let sources = args::Sources { listen: Some("127.0.0.1:0".to_owned()), ..Default::default() };
        let value = found(&[("HEARTH_LOG__LEVEL", "debug")], &sources).as_json(false).expect("renders");
        assert_eq!(value["listen"], "127.0.0.1:0");
        assert_eq!(value["log"]["level"], "debug");
        assert_eq!(value["allowed_hosts"], json!([]));
    }

    #[test]
    fn json_with_origins_says_where_each_value_came_from() {
        let sources = args::Sources { state_dir: Some("/srv/#hearth".to_owned()), ..Default::default() };
        let environment =
            [("HEARTH_REGION", "eu-west-1"), ("HEARTH_RUNTIMES__PYTHON3_12__INTERPRETER", "/opt/py")];
        let value = found(&environment, &sources).as_json(true).expect("renders");
        assert_eq!(value["state_dir"], json!({ "value": "/srv/#hearth", "origin": "flag --state-dir" }));
        assert_eq!(value["region"], json!({ "value": "eu-west-1", "origin": "environment HEARTH_REGION" }));
        assert_eq!(value["listen"]["origin"], "default");
        assert_eq!(value["runtimes.python3.12.interpreter"]["value"], "/opt/py");
    }

    #[test]
    fn the_usual_file_is_read_only_if_it_is_there() {
        assert_eq!(file(None, Path::new("/nonexistent/hearth.toml")), None);
        assert_eq!(file(None, Path::new("/dev/null")), Some("/dev/null".into()));
        let given = Path::new("/nonexistent/own.toml");
        assert_eq!(
            file(Some(given), Path::new("/dev/null")),
            Some(given.to_owned()),
            "a named file must be there"
        );
        assert_eq!(file(Some(Path::new("")), Path::new("/nonexistent")), None, "an empty variable is none");
    }
}
