//! Event invoke configurations: retries, age and destinations of asynchronous invocations, one for each version or alias.
//!
//! They are checked, kept and answered here. Nothing acts on them yet: asynchronous invocations are not built. Whether a
//! queue, topic, bus or bucket exists is not asked; of destinations only functions are looked up.

use super::super::names::Target;
use super::Control;
use super::side::{PAGE_MAX, key_of};
use crate::daemon::clock;
use crate::store::{Change, Document, DocumentChange, Expect, Family};
use hearth_api::error::ApiError;
use hearth_api::page;
use hearth_api::primitives::EpochTime;
use hearth_api::shapes::*;
use serde::{Deserialize, Serialize};

const FAMILY: Family = Family::EventInvokeConfig;
const NOTHING: &str = "You must specify at least one of error handling or destination setting.";
const NO_FUNCTION: &str = "The function doesn't exist.";

/// What is kept under `function\nqualifier`.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Settings {
    retries: Option<i32>,
    age_s: Option<i32>,
    on_success: Option<String>,
    on_failure: Option<String>,
    modified_ms: i64,
}

/// What a request gives; the outer `None` of a destination leaves it as it is, the inner one clears it.
struct Given {
    retries: Option<i32>,
    age_s: Option<i32>,
    on_success: Option<Option<String>>,
    on_failure: Option<Option<String>>,
}

impl Given {
    /// Refuses a request that sets nothing.
    fn new(
        (retries, age_s): (Option<i32>, Option<i32>),
        destinations: Option<DestinationConfig>,
    ) -> Result<Self, ApiError> {
        if retries.is_none() && age_s.is_none() && destinations.is_none() {
            return Err(ApiError::invalid_parameter(NOTHING));
        }
        let set = |arn: Option<String>| arn.filter(|arn| !arn.is_empty());
        let destinations = destinations.unwrap_or_default();
        Ok(Self {
            retries,
            age_s,
            on_success: destinations.on_success.map(|success| set(success.destination)),
            on_failure: destinations.on_failure.map(|failure| set(failure.destination)),
        })
    }

    fn over(self, old: Settings) -> Settings {
        Settings {
            retries: self.retries.or(old.retries),
            age_s: self.age_s.or(old.age_s),
            on_success: self.on_success.unwrap_or(old.on_success),
            on_failure: self.on_failure.unwrap_or(old.on_failure),
            modified_ms: i64::try_from(clock::wall().as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// The services that take results; S3 takes failures only.
fn serves(arn: &str, failure: bool) -> bool {
    match arn.split(':').nth(2) {
        Some("lambda" | "sqs" | "sns" | "events") => arn.starts_with("arn:"),
        Some("s3") => failure && arn.starts_with("arn:"),
        _ => false,
    }
}

/// A destination configuration as the service's errors print it.
fn print(settings: &Given) -> String {
    let side = |given: &Option<Option<String>>, name: &str| match given {
        None => "null".to_owned(),
        Some(arn) => format!("{name}(destination={})", arn.as_deref().unwrap_or("null")),
    };
    let (success, failure) =
        (side(&settings.on_success, "OnSuccess"), side(&settings.on_failure, "OnFailure"));
    format!("DestinationConfig(onSuccess={success}, onFailure={failure})")
}

impl Control {
    pub(super) async fn put_event_invoke(
        &self,
        input: PutFunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        let target = self.event_invoke_target(input.function_name, input.qualifier)?;
        let numbers = (input.maximum_retry_attempts, input.maximum_event_age_in_seconds);
        let given = Given::new(numbers, input.destination_config)?;
        let _turn = self.shared.functions.gate(&target.name).await;
        self.must_exist(&target).await?;
        self.check_destinations(&given, &target).await?;
        self.keep_event_invoke(given.over(Settings::default()), &target).await
    }

    pub(super) async fn update_event_invoke(
        &self,
        input: UpdateFunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        let target = self.event_invoke_target(input.function_name, input.qualifier)?;
        let numbers = (input.maximum_retry_attempts, input.maximum_event_age_in_seconds);
        let given = Given::new(numbers, input.destination_config)?;
        let _turn = self.shared.functions.gate(&target.name).await;
        self.must_exist(&target).await?;
        let old = self.event_invoke_settings(&target).await?;
        self.check_destinations(&given, &target).await?;
        self.keep_event_invoke(given.over(old), &target).await
    }

    pub(super) async fn get_event_invoke(
        &self,
        input: GetFunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        let target = self.event_invoke_target(input.function_name, input.qualifier)?;
        let settings = self.event_invoke_settings(&target).await?;
        Ok(describe(settings, target.arn(&self.shared.functions)))
    }

    pub(super) async fn delete_event_invoke(
        &self,
        input: DeleteFunctionEventInvokeConfigRequest,
    ) -> Result<NoOutput, ApiError> {
        let target = self.event_invoke_target(input.function_name, input.qualifier)?;
        let _turn = self.shared.functions.gate(&target.name).await;
        self.event_invoke_settings(&target).await?;
        let change = DocumentChange::Remove { family: FAMILY, key: key(&target), expect: Expect::Anything };
        self.commit(Change::Document(change), &target).await?;
        Ok(NoOutput::default())
    }

    pub(super) async fn list_event_invokes(
        &self,
        input: ListFunctionEventInvokeConfigsRequest,
    ) -> Result<ListFunctionEventInvokeConfigsResponse, ApiError> {
        let given = self.target(input.function_name.as_deref(), None)?;
        let target = Target { name: given.name, qualifier: None };
        let request = page::Request::new(input.marker.as_deref(), input.max_items, PAGE_MAX)?;
        self.must_exist(&target).await?;
        let page = self.side_page(FAMILY, &key_of(&target.name, ""), &request).await?;
        let function = self.shared.functions.arn(&target.name);
        let mut configs = Vec::with_capacity(page.items.len());
        for document in &page.items {
            let settings = document.read().map_err(|error| self.internal(error))?;
            let qualifier = document.key.split_once('\n').map_or("", |(_, qualifier)| qualifier);
            configs.push(describe(settings, format!("{function}:{qualifier}")));
        }
        Ok(ListFunctionEventInvokeConfigsResponse {
            function_event_invoke_configs: Some(configs),
            next_marker: page.next_marker,
        })
    }

    /// What a request names; without a qualifier that is `$LATEST`.
    fn event_invoke_target(
        &self,
        name: Option<String>,
        qualifier: Option<String>,
    ) -> Result<Target, ApiError> {
        let mut target = self.target(name.as_deref(), qualifier.as_deref())?;
        target.qualifier.get_or_insert_with(|| "$LATEST".to_owned());
        Ok(target)
    }

    async fn must_exist(&self, target: &Target) -> Result<(), ApiError> {
        match self.record(target).await {
            Err(error) if error.status() == 404 => Err(ApiError::not_found(NO_FUNCTION)),
            other => other.map(drop),
        }
    }

    async fn event_invoke_settings(&self, target: &Target) -> Result<Settings, ApiError> {
        match self.side(FAMILY, &key(target)).await? {
            Some(document) => document.read().map_err(|error| self.internal(error)),
            None => Err(ApiError::not_found(format!(
                "The function {} doesn't have an EventInvokeConfig",
                target.arn(&self.shared.functions)
            ))),
        }
    }

    async fn check_destinations(&self, given: &Given, target: &Target) -> Result<(), ApiError> {
        for (side, failure) in [(&given.on_success, false), (&given.on_failure, true)] {
            let Some(arn) = side.iter().flatten().next() else { continue };
            if !serves(arn, failure) {
                let text = format!("The provided destination config {} is invalid.", print(given));
                return Err(ApiError::invalid_parameter(text));
            }
            if arn.split(':').nth(2) != Some("lambda") {
                continue;
            }
            let invalid = || ApiError::invalid_parameter(format!("The destination ARN {arn} is invalid."));
            let named = self.target(Some(arn), None).map_err(|_| invalid())?;
            if named.name == target.name {
                let text = "You can't specify the function as a destination for itself.";
                return Err(ApiError::invalid_parameter(text));
            }
            match self.record(&named).await {
                Err(error) if error.status() == 404 => return Err(invalid()),
                other => other.map(drop)?,
            }
        }
        Ok(())
    }

    async fn keep_event_invoke(
        &self,
        settings: Settings,
        target: &Target,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        self.put_side(Document::of(FAMILY, key(target), &settings), target).await?;
        Ok(describe(settings, target.arn(&self.shared.functions)))
    }
}

fn key(target: &Target) -> String {
    key_of(&target.name, target.qualifier.as_deref().unwrap_or("$LATEST"))
}

fn describe(settings: Settings, arn: String) -> FunctionEventInvokeConfig {
    FunctionEventInvokeConfig {
        destination_config: Some(DestinationConfig {
            on_failure: Some(OnFailure { destination: settings.on_failure }),
            on_success: Some(OnSuccess { destination: settings.on_success }),
        }),
        function_arn: Some(arn),
        last_modified: Some(EpochTime::from_ms(settings.modified_ms)),
        maximum_event_age_in_seconds: settings.age_s,
        maximum_retry_attempts: settings.retries,
    }
}
