//! Aliases: names for versions that can be moved, and that may share invocations out to two.
//!
//! What an alias names is checked here for the service's words and once more within the commit. It does not decide which
//! of two versions an invocation runs: that is `logic`'s.

use super::super::names::Target;
use super::Control;
use super::functions::STALE;
use crate::daemon::random;
use crate::store::{Alias, Change, FunctionRecord, Version, VersionChange};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::page;
use hearth_api::shapes::*;
use std::collections::BTreeMap;

impl Control {
    pub(super) async fn make_alias(&self, input: CreateAliasRequest) -> Result<AliasConfiguration, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let _turn = self.shared.functions.gate(&target.name).await;
        let version = input.function_version.unwrap_or_default();
        let alias = Alias {
            function: target.name.clone(),
            name: input.name.unwrap_or_default(),
            version: Version::parse(&version).ok_or_else(|| self.no_version(&target, &version))?,
            additional: self.additional(&target, input.routing_config)?,
            description: input.description.unwrap_or_default(),
            revision_id: random::uuid(),
        };
        self.check_versions(&alias, &target).await?;
        let answer = self.describe_alias(&alias);
        self.commit(Change::Version(VersionChange::CreateAlias(Box::new(alias))), &target).await?;
        Ok(answer)
    }

    pub(super) async fn change_alias(
        &self,
        input: UpdateAliasRequest,
    ) -> Result<AliasConfiguration, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let _turn = self.shared.functions.gate(&target.name).await;
        let name = input.name.unwrap_or_default();
        let Some(mut alias) = self.stored_alias(&target, &name).await? else {
            let arn = self.alias_arn(&target.name, &name);
            return Err(ApiError::not_found(format!("Alias not found: {arn}")));
        };
        if input.revision_id.is_some_and(|expected| expected != alias.revision_id) {
            return Err(ApiError::new(ErrorCode::PreconditionFailedException, STALE));
        }
        if let Some(version) = input.function_version {
            alias.version = Version::parse(&version).ok_or_else(|| self.no_version(&target, &version))?;
        }
        if let Some(description) = input.description {
            alias.description = description;
        }
        if input.routing_config.is_some() {
            alias.additional = self.additional(&target, input.routing_config)?;
        }
        self.check_versions(&alias, &target).await?;
        self.check_provisioned_alias(&target, &alias).await?;
        // A new revision even if nothing changed: so does the service.
        let expected = std::mem::replace(&mut alias.revision_id, random::uuid());
        let change = VersionChange::UpdateAlias { expected, alias: Box::new(alias.clone()) };
        self.commit(Change::Version(change), &target).await?;
        let functions = &self.shared.functions;
        functions.reroute(&alias);
        let moved = functions.provision_again(&target.name, &alias.name).await;
        moved.map_err(|error| self.internal(error))?;
        Ok(self.describe_alias(&alias))
    }

    pub(super) async fn alias(&self, input: GetAliasRequest) -> Result<AliasConfiguration, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let name = input.name.unwrap_or_default();
        match self.stored_alias(&target, &name).await? {
            Some(alias) => Ok(self.describe_alias(&alias)),
            None => {
                let arn = self.alias_arn(&target.name, &name);
                Err(ApiError::not_found(format!("Cannot find alias arn: {arn}")))
            }
        }
    }

    pub(super) async fn remove_alias(&self, input: DeleteAliasRequest) -> Result<NoOutput, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let alias = input.name.unwrap_or_default();
        let _turn = self.shared.functions.gate(&target.name).await;
        let change = VersionChange::RemoveAlias { function: target.name.clone(), alias: alias.clone() };
        let named = Target { name: target.name.clone(), qualifier: Some(alias.clone()) };
        let mut changes = vec![Change::Version(change)];
        changes.extend(self.followers(&named));
        self.commit_all(changes, &target).await?;
        self.shared.functions.unprovision(&target.name, &alias);
        self.shared.functions.forget_alias(&target.name, &alias);
        Ok(NoOutput::default())
    }

    pub(super) async fn aliases(&self, input: ListAliasesRequest) -> Result<ListAliasesResponse, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let request = page::Request::new(input.marker.as_deref(), input.max_items, page::MAX_FUNCTIONS)?;
        self.record(&target).await?;
        let of = match input.function_version.as_deref() {
            None => None,
            Some(text) => match Version::parse(text) {
                Some(version) => Some(version),
                // No version has such a number, so no alias leads to it.
                None => return Ok(ListAliasesResponse { aliases: Some(Vec::new()), next_marker: None }),
            },
        };
        let after = request.after.as_deref().unwrap_or_default();
        let found = self.shared.functions.store.aliases(&target.name, after, of, request.limit + 1).await;
        let page = request.cut(found.map_err(|error| self.internal(error))?, |alias| &alias.name);
        Ok(ListAliasesResponse {
            aliases: Some(page.items.iter().map(|alias| self.describe_alias(alias)).collect()),
            next_marker: page.next_marker,
        })
    }

    async fn stored_alias(&self, target: &Target, name: &str) -> Result<Option<Alias>, ApiError> {
        self.shared.functions.store.alias(&target.name, name).await.map_err(|error| self.internal(error))
    }

    /// The second version of a routing configuration; none if it has none.
    fn additional(
        &self,
        target: &Target,
        routing: Option<AliasRoutingConfiguration>,
    ) -> Result<Option<(u64, f64)>, ApiError> {
        let weights = routing.and_then(|routing| routing.additional_version_weights).unwrap_or_default();
        if weights.len() > 1 {
            let text = "Number of items in AdditionalVersionWeights cannot be greater than 1";
            return Err(ApiError::invalid_parameter(text));
        }
        let Some((version, weight)) = weights.into_iter().next() else { return Ok(None) };
        match Version::parse(&version) {
            Some(Version::Number(number)) => Ok(Some((number, weight))),
            Some(Version::Latest) | None => Err(self.no_version(target, &version)),
        }
    }

    /// Refuses what an alias must not name: what does not exist, one version twice, two that differ too much.
    async fn check_versions(&self, alias: &Alias, target: &Target) -> Result<(), ApiError> {
        if let Some((number, _)) = alias.additional {
            if alias.version == Version::Number(number) {
                return Err(ApiError::invalid_parameter(format!(
                    "Invalid function version {number}. Function version {number} is already included in routing configuration."
                )));
            }
            if alias.version == Version::Latest {
                let text = "$LATEST is not supported for an alias pointing to more than 1 version";
                return Err(ApiError::invalid_parameter(text).without_type());
            }
        }
        let first = self.version_named(target, alias.version).await?;
        let Some((number, _)) = alias.additional else { return Ok(()) };
        let second = self.version_named(target, Version::Number(number)).await?;
        if first.configuration.role != second.configuration.role {
            let text = "Specified versions must be associated with the same execution role";
            return Err(ApiError::invalid_parameter(text));
        }
        if first.configuration.dead_letter_arn != second.configuration.dead_letter_arn {
            let text = "Specified versions must be associated with the same dead letter queue configuration";
            return Err(ApiError::invalid_parameter(text));
        }
        Ok(())
    }

    async fn version_named(&self, target: &Target, version: Version) -> Result<FunctionRecord, ApiError> {
        self.record(&Target { name: target.name.clone(), qualifier: Some(version.to_string()) }).await
    }

    fn no_version(&self, target: &Target, version: &str) -> ApiError {
        let named = Target { name: target.name.clone(), qualifier: Some(version.to_owned()) };
        named.not_found(&self.shared.functions)
    }

    fn alias_arn(&self, function: &str, name: &str) -> String {
        format!("{}:{name}", self.shared.functions.arn(function))
    }

    fn describe_alias(&self, alias: &Alias) -> AliasConfiguration {
        let weights = |(number, weight): (u64, f64)| AliasRoutingConfiguration {
            additional_version_weights: Some(BTreeMap::from([(number.to_string(), weight)])),
        };
        AliasConfiguration {
            alias_arn: Some(self.alias_arn(&alias.function, &alias.name)),
            name: Some(alias.name.clone()),
            function_version: Some(alias.version.to_string()),
            description: Some(alias.description.clone()),
            routing_config: alias.additional.map(weights),
            revision_id: Some(alias.revision_id.clone()),
        }
    }
}
