//! One event on its way to a runtime, and the headers that go with it.
//!
//! It exists so that the answer to `next` is a function of data. It does not touch the payload: that is a handle, passed
//! on as it came.

use crate::{DeliveryId, RequestId};
use bytes::Bytes;
use hearth_logic::WallTime;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

/// The request id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
/// The id of the delivery attempt; a runtime may echo it.
pub const INVOCATION_ID: HeaderName = HeaderName::from_static("lambda-runtime-invocation-id");
const DEADLINE_MS: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const INVOKED_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("lambda-runtime-client-context");
const COGNITO_IDENTITY: HeaderName = HeaderName::from_static("lambda-runtime-cognito-identity");
const TENANT_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-tenant-id");

/// One attempt at having a request run. Empty texts stand for "none" and send no header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The request.
    pub request_id: RequestId,
    /// This attempt at it.
    pub delivery_id: DeliveryId,
    /// When the function timeout fires.
    pub deadline: WallTime,
    /// The ARN as invoked, with the qualifier if one was given.
    pub invoked_arn: String,
    /// `Root=…;Parent=…;Sampled=…`.
    pub trace_id: String,
    /// The caller's context: decoded JSON text.
    pub client_context: String,
    /// The caller's Cognito identity: JSON text.
    pub cognito_identity: String,
    /// The tenant of a tenant-isolated function.
    pub tenant_id: String,
    /// What the invoker called the payload; empty means `application/json`.
    pub content_type: String,
    /// The event.
    pub payload: Bytes,
}

impl Delivery {
    /// The headers of the answer to `next`.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(12);
        let json = HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, value(&self.content_type).unwrap_or(json));
        let mut put = |name: HeaderName, text: &str| {
            if let Some(value) = value(text) {
                headers.insert(name, value);
            }
        };
        put(INVOKED_ARN, &self.invoked_arn);
        put(TRACE_ID, &self.trace_id);
        put(CLIENT_CONTEXT, &self.client_context);
        put(COGNITO_IDENTITY, &self.cognito_identity);
        put(TENANT_ID, &self.tenant_id);
        for (name, id) in
            [(REQUEST_ID, self.request_id.to_text()), (INVOCATION_ID, self.delivery_id.to_text())]
        {
            if let Ok(value) = HeaderValue::from_bytes(&id) {
                headers.insert(name, value);
            }
        }
        headers.insert(DEADLINE_MS, HeaderValue::from(self.deadline.as_millis()));
        headers
    }
}

/// The text as a header value, or `None` if it is empty.
///
/// Control characters become spaces: the only texts that can hold them are JSON documents, where they are white space
/// between tokens (inside strings JSON escapes them), so the meaning stays.
fn value(text: &str) -> Option<HeaderValue> {
    if text.is_empty() {
        return None;
    }
    HeaderValue::from_str(text).ok().or_else(|| {
        let plain: Vec<u8> =
            text.bytes().map(|byte| if byte < 0x20 || byte == 0x7f { b' ' } else { byte }).collect();
        HeaderValue::from_bytes(&plain).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::delivery;

    #[test]
    fn empty_texts_send_no_header() {
        let headers = delivery(1).headers();
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "content-type",
                "lambda-runtime-aws-request-id",
                "lambda-runtime-deadline-ms",
                "lambda-runtime-invocation-id",
                "lambda-runtime-invoked-function-arn",
            ]
        );
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["lambda-runtime-deadline-ms"], "1700000003000");
    }

    #[test]
    fn what_the_invoker_gave_is_passed_on() {
        let mut given = delivery(1);
        given.trace_id =
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".to_owned();
        given.client_context = "{\n  \"custom\": {\"k\": \"ü\"}\r\n}".to_owned();
        given.cognito_identity = r#"{"cognitoIdentityId":"a","cognitoIdentityPoolId":"b"}"#.to_owned();
        given.tenant_id = "blue".to_owned();
        given.content_type = "application/cloudevents+json".to_owned();
        let headers = given.headers();
        assert_eq!(headers["lambda-runtime-trace-id"], given.trace_id.as_str());
        let context = headers["lambda-runtime-client-context"].as_bytes();
        assert_eq!(context, "{   \"custom\": {\"k\": \"ü\"}  }".as_bytes());
        assert_eq!(headers["lambda-runtime-cognito-identity"], given.cognito_identity.as_str());
        assert_eq!(headers["lambda-runtime-aws-tenant-id"], "blue");
        assert_eq!(headers["content-type"], "application/cloudevents+json");
    }
}
