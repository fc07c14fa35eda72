//! A function's settings: from the members of a request to what is stored.
//!
//! The semantic layer: values that the model accepts and that make no sense here get the service's own words, members
//! whose feature is not built yet get a clear refusal. Pure; reads no store. What settings mean for each other is decided
//! in `constraints`, what is answered of them in `described`.

use super::constraints;
use crate::runtimes::process::RESERVED;
use crate::runtimes::{Runtimes, Served};
use crate::store::{Configuration, Layer, Logging};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::shapes::{
    DeadLetterConfig, Environment, EphemeralStorage, FileSystemConfig, ImageConfig, LoggingConfig, SnapStart,
    VpcConfig,
};
use hearth_logic::limits::{MEMORY_MAX_MB, TIMEOUT_MAX};
use std::collections::BTreeMap;

/// Bytes of the JSON of all environment variables.
const ENVIRONMENT_BYTES_MAX: usize = 4096;
const MEMORY_MB_MAX: i32 = MEMORY_MAX_MB.cast_signed();
const TIMEOUT_S_MAX: i32 = TIMEOUT_MAX.as_secs() as i32;
const EPHEMERAL_MB_MAX: i32 = 10_240;
/// Runtimes that the service once had and refuses now.
const RETIRED: [&str; 24] = [
    "nodejs",
    "nodejs4.3",
    "nodejs4.3-edge",
    "nodejs6.10",
    "nodejs8.10",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "java8",
    "python2.7",
    "python3.6",
    "python3.7",
    "python3.8",
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "dotnet6",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
    "provided",
    "java8.al1",
];

/// The settings that CreateFunction and UpdateFunctionConfiguration share; an absent one is left as it is.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) timeout: Option<i32>,
    pub(crate) memory_size: Option<i32>,
    pub(crate) environment: Option<Environment>,
    pub(crate) ephemeral_storage: Option<EphemeralStorage>,
    pub(crate) tracing_mode: Option<String>,
    pub(crate) dead_letter_config: Option<DeadLetterConfig>,
    pub(crate) kms_key_arn: Option<String>,
    pub(crate) layers: Option<Vec<Layer>>,
    pub(crate) vpc_config: Option<VpcConfig>,
    pub(crate) file_systems: Option<Vec<FileSystemConfig>>,
    pub(crate) snap_start: Option<SnapStart>,
    pub(crate) image_config: Option<ImageConfig>,
    pub(crate) logging: Option<LoggingConfig>,
    /// Members that were given and belong to features that are not built.
    pub(crate) unbuilt: Vec<&'static str>,
}

/// Where a function's settings are decided.
pub(crate) struct Judge<'a> {
    pub(crate) runtimes: &'a Runtimes,
}

fn too_large(value: i32, path: &str, max: i32) -> ApiError {
    let text = format!(
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: Member must have value less than or equal to {max}"
    );
    ApiError::new(ErrorCode::ValidationException, text)
}

impl Judge<'_> {
    /// Applies what was given to `settings`.
    pub(crate) fn apply(&self, given: Given, settings: &mut Configuration) -> Result<(), ApiError> {
        if let Some(member) = given.unbuilt.first() {
            let text = format!(
                "{member} is not implemented in this release of Hearth. Leave it out of the request."
            );
            return Err(ApiError::new(ErrorCode::NotImplementedException, text));
        }
        let runtime = given.runtime.is_some() || given.handler.is_some() || given.layers.is_some();
        super::images::refuse_runtime(settings, runtime)?;
        if let Some(runtime) = given.runtime {
            self.runtime(&runtime)?;
            settings.runtime = Some(runtime);
        }
        if let Some(variables) = given.environment.and_then(|environment| environment.variables) {
            check_environment(&variables)?;
            settings.environment = Some(variables);
            settings.sealed_environment = None;
        }
        if let Some(layers) = given.layers {
            settings.layers = layers;
        }
        super::images::apply(given.image_config, settings)?;
        apply_sizes((given.memory_size, given.timeout, given.ephemeral_storage), settings)?;
        if let Some(logging) = given.logging {
            settings.logging = merge_logging(logging, &settings.logging)?;
        }
        let set = |slot: &mut String, value: Option<String>| {
            if let Some(value) = value {
                *slot = value;
            }
        };
        set(&mut settings.role, given.role);
        set(&mut settings.description, given.description);
        set(&mut settings.tracing_mode, given.tracing_mode);
        set(&mut settings.snap_start, given.snap_start.and_then(|snap_start| snap_start.apply_on));
        if let Some(handler) = given.handler {
            settings.handler = Some(handler);
        }
        constraints::dead_letter(given.dead_letter_config, settings)?;
        constraints::key(given.kms_key_arn, settings)?;
        constraints::vpc(given.vpc_config, settings)?;
        constraints::file_systems(given.file_systems, settings)?;
        constraints::together(settings)
    }

    fn runtime(&self, name: &str) -> Result<&Served, ApiError> {
        if let Some(served) = self.runtimes.get(name) {
            return Ok(served);
        }
        if RETIRED.contains(&name) {
            return Err(ApiError::invalid_parameter(format!(
                "The runtime parameter of {name} is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions."
            )));
        }
        let here = self.runtimes.names().join(", ");
        let text = if self.runtimes.absent().contains(&name) {
            format!(
                "The runtime {name} needs an interpreter that is not on this host. Install it, name it in the configuration under [runtimes.\"{name}\"], or set [runtimes] missing = \"substitute\". Available here: {here}."
            )
        } else {
            format!(
                "The runtime {name} is not implemented in this release of Hearth. Available here: {here}."
            )
        };
        Err(ApiError::invalid_parameter(text))
    }
}

fn apply_sizes(
    (memory, timeout, ephemeral): (Option<i32>, Option<i32>, Option<EphemeralStorage>),
    settings: &mut Configuration,
) -> Result<(), ApiError> {
    let bounded = |value: Option<i32>, path: &str, max: i32, slot: &mut u32| match value {
        None => Ok(()),
        Some(value) if value > max => Err(too_large(value, path, max)),
        Some(value) => {
            *slot = u32::try_from(value).unwrap_or(*slot);
            Ok(())
        }
    };
    bounded(timeout, "timeout", TIMEOUT_S_MAX, &mut settings.timeout_s)?;
    bounded(
        ephemeral.and_then(|e| e.size),
        "ephemeralStorage.size",
        EPHEMERAL_MB_MAX,
        &mut settings.ephemeral_mb,
    )?;
    if let Some(value) = memory.filter(|value| *value > MEMORY_MB_MAX) {
        let text = format!(
            "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to {MEMORY_MB_MAX}"
        );
        return Err(ApiError::invalid_parameter(format!("{text} (given: {value})")));
    }
    bounded(memory, "memorySize", MEMORY_MB_MAX, &mut settings.memory_mb)
}

fn check_environment(variables: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let reserved: Vec<&str> =
        variables.keys().map(String::as_str).filter(|name| RESERVED.contains(name)).collect();
    if !reserved.is_empty() {
        return Err(ApiError::invalid_parameter(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: {}",
            reserved.join(", ")
        )));
    }
    // No program can be started with one.
    if let Some((name, _)) = variables.iter().find(|(_, value)| value.contains('\0')) {
        return Err(ApiError::invalid_parameter(format!(
            "Lambda was unable to configure your environment variables because the value of {name} has a NUL character."
        )));
    }
    Ok(())
}

/// Refuses variables whose JSON, as the client ordered it, is too large.
pub(crate) fn check_environment_size(json: Option<String>) -> Result<(), ApiError> {
    match json.filter(|json| json.len() > ENVIRONMENT_BYTES_MAX) {
        None => Ok(()),
        Some(json) => Err(ApiError::invalid_parameter(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: {json}"
        ))),
    }
}

fn merge_logging(given: LoggingConfig, old: &Logging) -> Result<Logging, ApiError> {
    let format = given.log_format.unwrap_or_else(|| old.format.clone());
    let json = format == "JSON";
    if !json && (given.application_log_level.is_some() || given.system_log_level.is_some()) {
        return Err(ApiError::invalid_parameter(
            "LogLevel is not supported when LogFormat is set to \"Text\". Remove LogLevel from your request or change the LogFormat to \"JSON\" and try again.",
        ));
    }
    let level = |given: Option<String>, old: &Option<String>| {
        json.then(|| given.or_else(|| old.clone()).unwrap_or_else(|| "INFO".to_owned()))
    };
    Ok(Logging {
        application_level: level(given.application_log_level, &old.application_level),
        system_level: level(given.system_log_level, &old.system_level),
        group: given.log_group.or_else(|| old.group.clone()),
        format,
    })
}
