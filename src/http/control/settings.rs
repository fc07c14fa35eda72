//! A function's settings: from the members of a request to what is stored, and back to what is answered.
//!
//! The semantic layer: values that the model accepts and that make no sense here get the service's own words, members
//! whose feature is not built yet get a clear refusal. Pure; reads no store.

use crate::runtimes::process::RESERVED;
use crate::runtimes::{Runtimes, Served};
use crate::store::{Configuration, FunctionRecord, Layer, Logging};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::shapes::{
    DeadLetterConfig, Environment, EnvironmentError, EnvironmentResponse, EphemeralStorage,
    FunctionConfiguration, ImageConfig, LoggingConfig, RuntimeVersionConfig, SnapStart, SnapStartResponse,
    TracingConfigResponse, VpcConfig, VpcConfigResponse,
};
use serde_json::json;
use std::collections::BTreeMap;

/// Bytes of the JSON of all environment variables.
const ENVIRONMENT_BYTES_MAX: usize = 4096;
const MEMORY_MB_MAX: i32 = 10_240;
const TIMEOUT_S_MAX: i32 = 900;
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
    pub(crate) file_systems: Option<serde_json::Value>,
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
        if let Some(target) = given.dead_letter_config.map(|config| config.target_arn.unwrap_or_default()) {
            settings.dead_letter_arn = (!target.is_empty()).then_some(target);
        }
        if let Some(key) = given.kms_key_arn {
            settings.kms_key_arn = (!key.is_empty()).then_some(key);
        }
        if let Some(vpc) = given.vpc_config {
            settings.vpc_config = Some(json!({
                "SubnetIds": vpc.subnet_ids.unwrap_or_default(),
                "SecurityGroupIds": vpc.security_group_ids.unwrap_or_default(),
                "VpcId": "",
                "Ipv6AllowedForDualStack": vpc.ipv6_allowed_for_dual_stack.unwrap_or(false),
            }));
        }
        if let Some(file_systems) = given.file_systems {
            settings.file_systems = Some(file_systems);
        }
        Ok(())
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

/// How much of a function's configuration an answer tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything.
    Full,
    /// As listings do: no states, no runtime version.
    Listed,
}

/// The variables, or why they cannot be shown.
fn environment(settings: &Configuration) -> Option<EnvironmentResponse> {
    if settings.sealed_environment.is_some() {
        let error = EnvironmentError {
            error_code: Some("KMSAccessDeniedException".to_owned()),
            message: Some("Lambda was unable to decrypt your environment variables because the key that they were sealed with is not the one in use, or they are damaged.".to_owned()),
        };
        return Some(EnvironmentResponse { variables: None, error: Some(error) });
    }
    settings
        .environment
        .clone()
        .map(|variables| EnvironmentResponse { variables: Some(variables), error: None })
}

/// What the API answers for a stored function.
pub(crate) fn answer(
    record: &FunctionRecord,
    arn: String,
    runtime_version_arn: Option<String>,
    detail: Detail,
) -> FunctionConfiguration {
    let settings = &record.configuration;
    let mut answer = FunctionConfiguration {
        function_name: Some(record.name.clone()),
        function_arn: Some(arn),
        runtime: settings.runtime.clone(),
        role: Some(settings.role.clone()),
        handler: settings.handler.clone(),
        code_size: i64::try_from(record.code.size).ok(),
        image_config_response: super::images::answer(settings),
        description: Some(settings.description.clone()),
        timeout: i32::try_from(settings.timeout_s).ok(),
        memory_size: i32::try_from(settings.memory_mb).ok(),
        last_modified: Some(service_time(record.last_modified_ms)),
        code_sha256: Some(super::images::sha256(record)),
        version: Some(record.version.clone()),
        environment: environment(settings),
        tracing_config: Some(TracingConfigResponse { mode: Some(settings.tracing_mode.clone()) }),
        revision_id: Some(record.revision_id.clone()),
        package_type: Some(settings.package_type.clone()),
        architectures: Some(settings.architectures.clone()),
        ephemeral_storage: Some(EphemeralStorage { size: i32::try_from(settings.ephemeral_mb).ok() }),
        snap_start: Some(SnapStartResponse {
            apply_on: Some(settings.snap_start.clone()),
            optimization_status: Some("Off".to_owned()),
        }),
        logging_config: Some(logging_answer(record)),
        kms_key_arn: settings.kms_key_arn.clone(),
        layers: (!settings.layers.is_empty()).then(|| super::layers::of_function(&settings.layers)),
        dead_letter_config: settings
            .dead_letter_arn
            .clone()
            .map(|arn| DeadLetterConfig { target_arn: Some(arn) }),
        vpc_config: settings
            .vpc_config
            .clone()
            .and_then(|value| serde_json::from_value::<VpcConfigResponse>(value).ok()),
        file_system_configs: settings
            .file_systems
            .clone()
            .and_then(|value| serde_json::from_value(value).ok()),
        ..FunctionConfiguration::default()
    };
    if detail == Detail::Full {
        answer.runtime_version_config = runtime_version_arn
            .map(|arn| RuntimeVersionConfig { runtime_version_arn: Some(arn), error: None });
        add_states(record, &mut answer);
    }
    answer
}

fn add_states(record: &FunctionRecord, answer: &mut FunctionConfiguration) {
    answer.state = Some(record.state.kind.name().to_owned());
    if let Some(reason) = &record.state.reason {
        answer.state_reason = Some(reason.text.clone());
        answer.state_reason_code = Some(reason.code.clone());
    }
    answer.last_update_status = record.last_update.kind.map(|kind| kind.name().to_owned());
    if let Some(reason) = &record.last_update.reason {
        answer.last_update_status_reason = Some(reason.text.clone());
        answer.last_update_status_reason_code = Some(reason.code.clone());
    }
}

fn logging_answer(record: &FunctionRecord) -> LoggingConfig {
    let logging = &record.configuration.logging;
    LoggingConfig {
        log_format: Some(logging.format.clone()),
        application_log_level: logging.application_level.clone(),
        system_log_level: logging.system_level.clone(),
        log_group: Some(logging.group.clone().unwrap_or_else(|| format!("/aws/lambda/{}", record.name))),
    }
}

fn service_time(ms: u64) -> String {
    hearth_api::primitives::EpochTime::from_ms(i64::try_from(ms).unwrap_or(i64::MAX)).to_service_text()
}
