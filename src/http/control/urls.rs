//! Function URLs as they are configured: one per function and one per alias.
//!
//! Each is stored twice in one commit: for its function, to be listed, and under its id, for the door. What a request to
//! a URL comes to is `http::url`'s business.

use super::super::names::Target;
use super::super::url::{self, Url};
use super::Control;
use crate::daemon::clock;
use crate::store::{Change, Document, DocumentChange, Expect, Family};
use hearth_api::error::ApiError;
use hearth_api::page;
use hearth_api::primitives::EpochTime;
use hearth_api::shapes::*;

const ABSENT: &str = "The resource you requested does not exist.";
const NO_FUNCTION: &str = "Function does not exist";
const BUFFERED: &str = "BUFFERED";
/// What `AllowMethods` may list ("Cors", AWS Lambda API reference).
const METHODS: [&str; 7] = ["GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"];

/// The members that the answers to questions and changes have, under the same names.
macro_rules! told {
    ($response:ident, $config:expr) => {{
        let config = $config;
        $response {
            auth_type: config.auth_type,
            cors: config.cors,
            creation_time: config.creation_time,
            function_arn: config.function_arn,
            function_url: config.function_url,
            invoke_mode: config.invoke_mode,
            last_modified_time: config.last_modified_time,
        }
    }};
}

impl Control {
    pub(super) async fn make_url(
        &self,
        input: CreateFunctionUrlConfigRequest,
    ) -> Result<CreateFunctionUrlConfigResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let _turn = self.shared.functions.gate(&target.name).await;
        if self.find(&target).await.map_err(|error| self.internal(error))?.is_none() {
            return Err(ApiError::not_found(NO_FUNCTION));
        }
        if self.url_of(&target).await?.is_some() {
            let arn = target.arn(&self.shared.functions);
            return Err(ApiError::conflict(format!(
                "Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists for this Lambda function"
            )));
        }
        check_methods(input.cors.as_ref())?;
        let now = now();
        let url = Url {
            function: target.name.clone(),
            qualifier: target.qualifier.clone(),
            auth_type: input.auth_type.unwrap_or_default(),
            cors: input.cors.filter(|cors| *cors != Cors::default()),
            invoke_mode: input.invoke_mode.clone().unwrap_or_else(|| BUFFERED.to_owned()),
            created: now.clone(),
            modified: now,
        };
        self.store_url(&target, &url, Expect::Absent).await?;
        let config = self.describe_url(&url);
        Ok(CreateFunctionUrlConfigResponse {
            auth_type: config.auth_type,
            cors: config.cors,
            creation_time: config.creation_time,
            function_arn: config.function_arn,
            function_url: config.function_url,
            // Said only if it was asked for.
            invoke_mode: input.invoke_mode,
        })
    }

    pub(super) async fn url(
        &self,
        input: GetFunctionUrlConfigRequest,
    ) -> Result<GetFunctionUrlConfigResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let url = self.url_of(&target).await?.ok_or_else(|| ApiError::not_found(ABSENT))?;
        Ok(told!(GetFunctionUrlConfigResponse, self.describe_url(&url)))
    }

    pub(super) async fn change_url(
        &self,
        input: UpdateFunctionUrlConfigRequest,
    ) -> Result<UpdateFunctionUrlConfigResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let _turn = self.shared.functions.gate(&target.name).await;
        let mut url = self.url_of(&target).await?.ok_or_else(|| ApiError::not_found(ABSENT))?;
        if let Some(auth_type) = input.auth_type {
            url.auth_type = auth_type;
        }
        check_methods(input.cors.as_ref())?;
        if let Some(cors) = input.cors {
            url.cors = Some(cors).filter(|cors| *cors != Cors::default());
        }
        if let Some(mode) = input.invoke_mode {
            url.invoke_mode = mode;
        }
        url.modified = now();
        self.store_url(&target, &url, Expect::Present).await?;
        Ok(told!(UpdateFunctionUrlConfigResponse, self.describe_url(&url)))
    }

    pub(super) async fn remove_url(
        &self,
        input: DeleteFunctionUrlConfigRequest,
    ) -> Result<NoOutput, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let _turn = self.shared.functions.gate(&target.name).await;
        if self.url_of(&target).await?.is_none() {
            return Err(ApiError::not_found(ABSENT));
        }
        self.commit_all(self.url_removal(&target).into(), &target).await?;
        Ok(NoOutput::default())
    }

    pub(super) async fn urls(
        &self,
        input: ListFunctionUrlConfigsRequest,
    ) -> Result<ListFunctionUrlConfigsResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), None)?;
        let whole = Target { name: target.name, qualifier: None };
        let request = page::Request::new(input.marker.as_deref(), input.max_items, page::MAX_FUNCTIONS)?;
        if self.find(&whole).await.map_err(|error| self.internal(error))?.is_none() {
            return Err(ApiError::not_found(NO_FUNCTION));
        }
        let (prefix, after) = (whole.document_key(), request.after.as_deref().unwrap_or_default());
        let store = &self.shared.functions.store;
        let found = store.documents(Family::FunctionUrl, &prefix, after, request.limit + 1).await;
        let page = request.cut(found.map_err(|error| self.internal(error))?, |document| &document.key);
        let urls: Result<Vec<Url>, _> = page.items.iter().map(Document::read).collect();
        let urls = urls.map_err(|error| self.internal(error))?;
        Ok(ListFunctionUrlConfigsResponse {
            function_url_configs: Some(urls.iter().map(|url| self.describe_url(url)).collect()),
            next_marker: page.next_marker,
        })
    }

    /// What forgets the URL of a function or alias; no error if there is none.
    pub(super) fn url_removal(&self, target: &Target) -> [Change; 2] {
        let id = url::id_of(self.shared.functions.home(), target);
        [target.document_key(), url::id_key(&id)].map(|key| {
            let (family, expect) = (Family::FunctionUrl, Expect::Anything);
            Change::Document(DocumentChange::Remove { family, key, expect })
        })
    }

    async fn url_of(&self, target: &Target) -> Result<Option<Url>, ApiError> {
        let found = self.shared.functions.store.document(Family::FunctionUrl, &target.document_key()).await;
        let document = found.map_err(|error| self.internal(error))?;
        document.map(|document| document.read()).transpose().map_err(|error| self.internal(error))
    }

    async fn store_url(&self, target: &Target, url: &Url, expect: Expect) -> Result<(), ApiError> {
        let id = url::id_of(self.shared.functions.home(), target);
        let mut changes = Vec::new();
        for key in [target.document_key(), url::id_key(&id)] {
            let document = Document::of(Family::FunctionUrl, key, url)
                .map_err(|error| self.internal(error))?
                .of_function(&target.name);
            let change = DocumentChange::Put { document: Box::new(document), expect: expect.clone() };
            changes.push(Change::Document(change));
        }
        self.commit_all(changes, target).await
    }

    fn describe_url(&self, url: &Url) -> FunctionUrlConfig {
        let functions = &self.shared.functions;
        let target = Target { name: url.function.clone(), qualifier: url.qualifier.clone() };
        FunctionUrlConfig {
            auth_type: Some(url.auth_type.clone()),
            cors: url.cors.clone(),
            creation_time: Some(url.created.clone()),
            function_arn: Some(target.arn(functions)),
            function_url: Some(self.places.url(&url::id_of(functions.home(), &target))),
            invoke_mode: Some(url.invoke_mode.clone()),
            last_modified_time: Some(url.modified.clone()),
        }
    }
}

/// Refuses methods that no preflight could be answered with.
fn check_methods(cors: Option<&Cors>) -> Result<(), ApiError> {
    let given = cors.and_then(|cors| cors.allow_methods.as_deref()).unwrap_or_default();
    match given.iter().find(|method| !METHODS.contains(&method.as_str())) {
        None => Ok(()),
        Some(method) => Err(ApiError::invalid_parameter(format!(
            "AllowMethods cannot list {method}. Valid values are: [{}]",
            METHODS.join(", ")
        ))),
    }
}

/// `2023-01-21T11:30:00.123456Z`.
fn now() -> String {
    let micros = clock::since_epoch().as_micros();
    let millis = i64::try_from(micros / 1000).unwrap_or(i64::MAX);
    let text = EpochTime::from_ms(millis).to_iso_text();
    format!("{}{:03}Z", text.trim_end_matches('Z'), micros % 1000)
}
