//! Recursion and runtime management: what a function does when it calls itself in a loop, and when its runtime is updated.
//!
//! Both are checked, kept and answered here. Nothing acts on them: this daemon counts no lineage yet, and a host has one
//! interpreter of each runtime, which its administrator updates; so the only version that can be pinned is that one.

use super::super::names::Target;
use super::Control;
use super::side::key_of;
use crate::store::{Document, Family};
use hearth_api::error::ApiError;
use hearth_api::shapes::*;
use serde::{Deserialize, Serialize};

const MANUAL: &str = "Manual";
const TERMINATE: &str = "Terminate";

/// What is kept under `function\nversion`.
#[derive(Serialize, Deserialize)]
struct Management {
    update_on: String,
    version_arn: Option<String>,
}

impl Control {
    pub(super) async fn put_recursion(
        &self,
        input: PutFunctionRecursionConfigRequest,
    ) -> Result<PutFunctionRecursionConfigResponse, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let choice = input.recursive_loop.unwrap_or_default();
        let _turn = self.shared.functions.gate(&target.name).await;
        self.record(&target).await?;
        self.put_side(Document::of(Family::Recursion, target.name.as_str(), &choice), &target).await?;
        Ok(PutFunctionRecursionConfigResponse { recursive_loop: Some(choice) })
    }

    pub(super) async fn get_recursion(
        &self,
        input: GetFunctionRecursionConfigRequest,
    ) -> Result<GetFunctionRecursionConfigResponse, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        self.record(&target).await?;
        let choice = match self.side(Family::Recursion, &target.name).await? {
            Some(document) => document.read().map_err(|error| self.internal(error))?,
            None => TERMINATE.to_owned(),
        };
        Ok(GetFunctionRecursionConfigResponse { recursive_loop: Some(choice) })
    }

    pub(super) async fn put_runtime_management(
        &self,
        input: PutRuntimeManagementConfigRequest,
    ) -> Result<PutRuntimeManagementConfigResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let update_on = input.update_runtime_on.unwrap_or_default();
        let _turn = self.shared.functions.gate(&target.name).await;
        let (version, available) = self.managed(&target).await?;
        let version_arn = pinned(&update_on, input.runtime_version_arn, available.as_deref())?;
        let management = Management { update_on, version_arn };
        let key = key_of(&version.name, version.qualifier.as_deref().unwrap_or_default());
        self.put_side(Document::of(Family::RuntimeManagement, key, &management), &target).await?;
        Ok(PutRuntimeManagementConfigResponse {
            function_arn: Some(version.arn(&self.shared.functions)),
            runtime_version_arn: management.version_arn,
            update_runtime_on: Some(management.update_on),
        })
    }

    pub(super) async fn get_runtime_management(
        &self,
        input: GetRuntimeManagementConfigRequest,
    ) -> Result<GetRuntimeManagementConfigResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let (version, _) = self.managed(&target).await?;
        let key = key_of(&version.name, version.qualifier.as_deref().unwrap_or_default());
        let management = match self.side(Family::RuntimeManagement, &key).await? {
            Some(document) => document.read().map_err(|error| self.internal(error))?,
            None => Management { update_on: "Auto".to_owned(), version_arn: None },
        };
        Ok(GetRuntimeManagementConfigResponse {
            function_arn: Some(version.arn(&self.shared.functions)),
            runtime_version_arn: management.version_arn,
            update_runtime_on: Some(management.update_on),
        })
    }

    /// The version that a request means, by number or `$LATEST`, and the runtime version that it runs on.
    async fn managed(&self, target: &Target) -> Result<(Target, Option<String>), ApiError> {
        let record = self.record(target).await?;
        let version = Target { name: target.name.clone(), qualifier: Some(record.version.clone()) };
        let described = self.describe(&record, &version, super::described::Detail::Full);
        Ok((version, described.runtime_version_config.and_then(|config| config.runtime_version_arn)))
    }
}

/// The runtime version to keep: what `Manual` names, and none otherwise.
fn pinned(
    update_on: &str,
    given: Option<String>,
    available: Option<&str>,
) -> Result<Option<String>, ApiError> {
    let text = match (update_on == MANUAL, given) {
        (false, None) => return Ok(None),
        (false, Some(_)) => {
            format!("RuntimeVersionArn is only allowed if UpdateRuntimeOn is Manual (given: {update_on}).")
        }
        (true, None) => "RuntimeVersionArn is required if UpdateRuntimeOn is Manual.".to_owned(),
        (true, Some(arn)) if Some(arn.as_str()) == available => return Ok(Some(arn)),
        (true, Some(arn)) => format!(
            "The runtime version {arn} is not on this host. Available for this function: {}.",
            available.unwrap_or("none")
        ),
    };
    Err(ApiError::invalid_parameter(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_on_this_host_can_be_pinned_and_only_by_hand() {
        let (here, other) = ("arn:here", "arn:other");
        let ask = |on: &str, given: Option<&str>| pinned(on, given.map(str::to_owned), Some(here));
        assert_eq!(ask("Auto", None).unwrap(), None);
        assert_eq!(ask("Manual", Some(here)).unwrap().as_deref(), Some(here));
        for (on, given) in
            [("Auto", Some(here)), ("FunctionUpdate", Some(here)), ("Manual", None), ("Manual", Some(other))]
        {
            assert_eq!(ask(on, given).unwrap_err().status(), 400, "{on} {given:?}");
        }
    }
}
