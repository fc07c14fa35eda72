//! Who may call a function URL.
//!
//! At a URL that asks nobody (`NONE`) the policy of its function or alias must let everybody in, and no statement may
//! forbid it, unless this daemon asks nobody anything. At one that asks (`AWS_IAM`) requests are signed, and no policy may
//! forbid their signer to call the function itself. The rule for one statement is `logic::policy`'s.

use super::super::authorise::{Caller, Circumstances, Verdict, authorise, judge};
use super::super::control::{Control, body_error};
use super::super::identity::{Connection, Identity};
use super::super::invoke::PAYLOAD_MAX;
use super::super::names::Target;
use super::super::server::Intake;
use super::super::standing::Standing;
use super::event::Iam;
use super::{Url, source_of};
use crate::daemon::credentials;
use hearth_api::error::ApiError;
use hearth_api::permission::Permission;
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
    /// Lets a request in, with the name of who signed it, or not. A body that a signature is about has been read then.
    pub(super) async fn url_access(
        &self,
        url: &Url,
        target: &Target,
        connection: &Connection,
        parts: &Parts,
        body: Intake,
    ) -> Result<(Option<Iam>, Intake), Refused> {
        if url.auth_type == "AWS_IAM" {
            let (caller, body) = self.signed(url, target, connection, parts, body).await?;
            return Ok((Some(caller), body));
        }
        if matches!(self.identity, Identity::Anyone) {
            return Ok((None, body));
        }
        let policy = self.policy_of_url(target).await?.ok_or(Refused::Forbidden)?;
        let arn = target.arn(&self.shared.functions);
        match lets_everybody_in(&policy, &arn, &|key| context(key, url, connection, parts)) {
            true => Ok((None, body)),
            false => Err(Refused::Forbidden),
        }
    }

    /// Who signed a request. Where signatures are not verified, on the API as here, one has to be there, and stands for
    /// the account's owner, if the connection may.
    async fn signed(
        &self,
        url: &Url,
        target: &Target,
        connection: &Connection,
        parts: &Parts,
        body: Intake,
    ) -> Result<(Iam, Intake), Refused> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = header.and_then(credentials::access_key).ok_or(Refused::Forbidden)?;
        if let Some(error) = connection.refusal() {
            return Err(Refused::Api(error));
        }
        let Identity::Signed(verifier) = &self.identity else {
            return match self.shared.keys.holder(key) {
                Some(_) => Err(Refused::Forbidden),
                None => Ok((iam(key, &self.owner), body)),
            };
        };
        let refusal = |error| body_error(error, PAYLOAD_MAX, "InvokeFunctionUrl");
        let (caller, body) =
            verifier.prove(("lambda", parts), body, PAYLOAD_MAX, refusal).await.map_err(Refused::Api)?;
        let agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let region = &self.shared.functions.home().region;
        let circumstances = Circumstances { region, connection, agent, url: Some(&url.auth_type) };
        let policy = self.policy_of_url(target).await?;
        let resource = target.arn(&self.shared.functions);
        let permission = Permission::new(CALL_URL, resource.clone());
        authorise(&caller, &permission, policy.as_ref(), &circumstances).map_err(|_| Refused::Forbidden)?;
        // The call of the function need not be allowed, but who is denied it does not get there by its URL.
        let call = Permission::new(CALL, resource);
        match judge(&caller, &call, policy.as_ref(), &circumstances) {
            Verdict::Allowed | Verdict::Unmentioned => Ok((iam(key, &caller), Intake::Here(body))),
            Verdict::DeniedByIdentity | Verdict::DeniedByResource => Err(Refused::Forbidden),
        }
    }

    /// The policy of exactly this function or alias.
    async fn policy_of_url(&self, target: &Target) -> Result<Option<Document>, Refused> {
        let standing = Standing::of(&self.shared.functions, target.clone()).await.map_err(Refused::Api)?;
        Ok(standing.decided_by())
    }
}

/// Whether anybody may call the URL: the call of the URL is allowed, and the call of the function not forbidden.
fn lets_everybody_in(policy: &Document, arn: &str, context: &dyn Fn(&str) -> Option<String>) -> bool {
    let decide = |action: &str| {
        policy.decide(&Question { principal: Principal::Anonymous, action, resource: arn, context })
    };
    decide(CALL_URL) == Decision::Allowed && decide(CALL) != Decision::Denied
}

/// A caller as events name it.
fn iam(key: &str, caller: &Caller) -> Iam {
    let name = caller.arn.rsplit(['/', ':']).next().unwrap_or_default();
    let id = if name == "root" { caller.account() } else { name };
    Iam {
        access_key: key.to_owned(),
        account_id: caller.account().to_owned(),
        caller_id: id.to_owned(),
        cognito_identity: (),
        principal_org_id: (),
        user_arn: caller.arn.clone(),
        user_id: id.to_owned(),
    }
}

/// The value of a condition key, of those that an unsigned request has.
fn context(key: &str, url: &Url, connection: &Connection, parts: &Parts) -> Option<String> {
    match key {
        "aws:sourceip" => Some(source_of(connection)),
        "aws:securetransport" => Some(connection.tls.is_some().to_string()),
        "aws:useragent" => parts.headers.get(USER_AGENT)?.to_str().ok().map(str::to_owned),
        "lambda:functionurlauthtype" => Some(url.auth_type.clone()),
        "lambda:invokedviafunctionurl" => Some("true".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::control::policies;
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
