//! What the API answers of a stored function: its settings and states under the members of the wire.
//!
//! Listings tell less than questions about one function do. What follows from this host's interpreters is told as they are
//! now, whatever they were when the function was made. Deliberately not here: what settings may be (`settings`).

use crate::runtimes::Served;
use crate::store::{Configuration, FunctionRecord, Reason, StateKind};
use hearth_api::shapes::{
    DeadLetterConfig, EnvironmentError, EnvironmentResponse, EphemeralStorage, FunctionConfiguration,
    LoggingConfig, RuntimeVersionConfig, SnapStartResponse, TracingConfigResponse, VpcConfigResponse,
};

/// How much of a function's configuration an answer tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything.
    Full,
    /// As listings do: no states, no runtime version.
    Listed,
}

/// The function's runtime on this host.
pub(crate) struct Here<'a> {
    /// How it is served; none if it is not.
    pub(crate) served: Option<&'a Served>,
    /// ARN of its version.
    pub(crate) version: Option<String>,
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
    here: Here<'_>,
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
            // No snapshot is made, whatever is asked for.
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
        add_states(record, here.served, &mut answer);
        answer.runtime_version_config =
            here.version.map(|arn| RuntimeVersionConfig { runtime_version_arn: Some(arn), error: None });
    }
    answer
}

fn add_states(record: &FunctionRecord, served: Option<&Served>, answer: &mut FunctionConfiguration) {
    answer.state = Some(record.state.kind.name().to_owned());
    let reason = match record.state.kind {
        StateKind::Active => other_interpreter(record, served),
        StateKind::Pending | StateKind::Inactive | StateKind::Failed => record.state.reason.clone(),
    };
    if let Some(reason) = reason {
        answer.state_reason = Some(reason.text);
        answer.state_reason_code = Some(reason.code);
    }
    answer.last_update_status = record.last_update.kind.map(|kind| kind.name().to_owned());
    if let Some(reason) = &record.last_update.reason {
        answer.last_update_status_reason = Some(reason.text.clone());
        answer.last_update_status_reason_code = Some(reason.code.clone());
    }
}

/// What a function that may be invoked has to say: that it runs on something else than it names, or on nothing.
fn other_interpreter(record: &FunctionRecord, served: Option<&Served>) -> Option<Reason> {
    let runtime = record.configuration.runtime.as_deref()?;
    let instead = match served {
        Some(served) => format!("{} is used instead", served.substitute.as_ref()?),
        None => "invocations fail until it has one".to_owned(),
    };
    let text = format!("This host has no interpreter for {runtime}; {instead}.");
    Some(Reason { code: "InvalidRuntime".to_owned(), text })
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
