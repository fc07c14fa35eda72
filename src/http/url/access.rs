//! Who may call a function URL.
//!
//! At a URL that asks nobody (`NONE`) the policy of its function or alias must let everybody in, and no statement may
//! forbid it, unless this daemon asks nobody anything. At one that asks (`AWS_IAM`) requests are signed. The rule for one
//! statement is `logic::policy`'s.

use super::super::control::Control;
use super::super::control::policies;
use super::super::names::Target;
use super::event::Iam;
use super::{Client, Url};
use crate::daemon::credentials;
use hearth_api::error::ApiError;
use hearth_logic::policy::{Decision, Document, Principal, Request as Question};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;

const CALL_URL: &str = "lambda:InvokeFunctionUrl";
const CALL: &str = "lambda:InvokeFunction";

/// Why a caller is not let in.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Neither policy nor signature lets it in.
    Forbidden,
    /// As the API would say it.
    Api(ApiError),
}

impl Control {
    /// Lets a request in, with the name of who signed it, or not.
    pub(super) async fn url_access(
        &self,
        url: &Url,
        target: &Target,
        client: Client,
        parts: &Parts,
    ) -> Result<Option<Iam>, Refused> {
        if url.auth_type == "AWS_IAM" {
            return self.signed(parts).map(Some);
        }
        if !self.asks_who {
            return Ok(None);
        }
        let policy = self.resource_policy(target).await.map_err(Refused::Api)?.ok_or(Refused::Forbidden)?;
        let arn = target.arn(&self.shared.functions);
        match lets_everybody_in(&policy, &arn, &|key| context(key, url, client, parts)) {
            true => Ok(None),
            false => Err(Refused::Forbidden),
        }
    }

    /// Where signatures are not verified, on the API as here, one has to be there, and its key says the account's own.
    fn signed(&self, parts: &Parts) -> Result<Iam, Refused> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = header.and_then(credentials::access_key).ok_or(Refused::Forbidden)?;
        if self.shared.keys.holder(key).is_some() {
            return Err(Refused::Forbidden);
        }
        let home = self.shared.functions.home();
        Ok(Iam {
            access_key: key.to_owned(),
            account_id: home.account.clone(),
            caller_id: home.account.clone(),
            cognito_identity: (),
            principal_org_id: (),
            user_arn: format!("arn:{}:iam::{}:root", home.partition, home.account),
            user_id: home.account.clone(),
        })
    }

    /// The policy of exactly this function, version or alias, as it can be decided upon.
    pub(crate) async fn resource_policy(&self, target: &Target) -> Result<Option<Document>, ApiError> {
        let Some(text) = self.policy_text(target).await? else { return Ok(None) };
        policies::understood(&text).map(Some).map_err(|error| self.internal(error))
    }
}

/// Whether anybody may call the URL: the call of the URL is allowed, and the call of the function not forbidden.
fn lets_everybody_in(policy: &Document, arn: &str, context: &dyn Fn(&str) -> Option<String>) -> bool {
    let decide = |action: &str| {
        policy.decide(&Question { principal: Principal::Anonymous, action, resource: arn, context })
    };
    decide(CALL_URL) == Decision::Allowed && decide(CALL) != Decision::Denied
}

/// The value of a condition key, of those that an unsigned request has.
fn context(key: &str, url: &Url, client: Client, parts: &Parts) -> Option<String> {
    match key {
        "aws:sourceip" => Some(client.source.to_string()),
        "aws:securetransport" => Some(client.secure.to_string()),
        "aws:useragent" => parts.headers.get(USER_AGENT)?.to_str().ok().map(str::to_owned),
        "lambda:functionurlauthtype" => Some(url.auth_type.clone()),
        "lambda:invokedviafunctionurl" => Some("true".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

    fn statement(effect: &str, principal: &str, action: &str, kind: &str) -> String {
        format!(
            r#"{{"Effect":"{effect}","Principal":{principal},"Action":"{action}","Resource":"{ARN}",
                "Condition":{{"StringEquals":{{"lambda:FunctionUrlAuthType":"{kind}"}}}}}}"#
        )
    }

    fn open(statements: &[String]) -> bool {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
        let policy = policies::understood(&text).expect("is a policy");
        lets_everybody_in(&policy, ARN, &|key| {
            (key == "lambda:functionurlauthtype").then(|| "NONE".to_owned())
        })
    }

    #[test]
    fn only_a_public_statement_for_this_authentication_lets_everybody_in() {
        let public = || statement("Allow", r#""*""#, CALL_URL, "NONE");
        assert!(open(&[public()]));
        assert!(!open(&[statement("Allow", r#""*""#, CALL_URL, "AWS_IAM")]));
        assert!(!open(&[statement("Allow", r#""*""#, CALL, "NONE")]), "another action");
        let account = r#"{"AWS":"arn:aws:iam::000000000000:root"}"#;
        assert!(!open(&[statement("Allow", account, CALL_URL, "NONE")]));
        for action in [CALL_URL, CALL, "lambda:*"] {
            assert!(!open(&[public(), statement("Deny", r#""*""#, action, "NONE")]), "{action} is forbidden");
        }
    }
}
