//! Whether a caller may do something: the one place where what is known of a caller meets policies.
//!
//! The policy of an identity and that of a resource weigh the same, because every identity here is of the daemon's own
//! account: one of them has to allow, none may deny. A service has no policy of its own, so that the resource's has to
//! allow. Whom the daemon does not ask for a signature is the account's owner, about whom no policy is asked. A denial
//! of a function is one of its `$LATEST`, too, which is the same thing under another name. Deliberately not here: who a
//! caller is (`identity.rs`, `signed.rs`), what an operation needs (`hearth_api::permission`), what a document says
//! (`hearth_logic::policy`).

use super::identity::Connection;
use hearth_api::arn::Home;
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::permission::Permission;
use hearth_logic::policy::{Decision, Document, Principal, Request};
use std::sync::Arc;

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// How it is known.
    pub(crate) kind: Kind,
    /// `arn:aws:iam::000000000000:user/ci`, or that of a role's session.
    pub(crate) arn: String,
    /// The value of `aws:PrincipalArn`: the role's ARN where a session of it signs, else `arn`.
    pub(crate) principal: String,
    own: Own,
    origin: Origin,
}

/// What a caller may do by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Own {
    Everything,
    AsSaid(Arc<Document>),
    /// Only what a resource lets it do.
    Nothing,
}

/// For whom a service asks, as far as it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// `aws:SourceArn`.
    pub(crate) arn: Option<String>,
    /// `aws:SourceAccount`.
    pub(crate) account: Option<String>,
    /// `lambda:EventSourceToken`.
    pub(crate) token: Option<String>,
}

/// How a caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By being let in without a signature.
    Owner,
    /// By a key of `keys.toml`.
    Key,
    /// By the key of an environment, or by its door.
    Function,
    /// By a key of `keys.toml` that is a service's.
    Service,
}

/// What conditions may ask about a request beside its caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    /// The daemon's region.
    pub(crate) region: &'a str,
    /// How the request came.
    pub(crate) connection: &'a Connection,
    /// Its `User-Agent`.
    pub(crate) agent: Option<&'a str>,
    /// The authentication type of the function URL that it came through, if it did.
    pub(crate) url: Option<&'a str>,
}

impl Caller {
    /// Whom nobody asks for a signature: root of the account.
    pub(crate) fn owner(home: &Home) -> Self {
        let arn = format!("arn:{}:iam::{}:root", home.partition, home.account);
        Self {
            kind: Kind::Owner,
            principal: arn.clone(),
            arn,
            own: Own::Everything,
            origin: Origin::default(),
        }
    }

    /// The holder of a key.
    pub(crate) fn holder(arn: String, policy: Arc<Document>) -> Self {
        let (own, origin) = (Own::AsSaid(policy), Origin::default());
        Self { kind: Kind::Key, principal: arn.clone(), arn, own, origin }
    }

    /// A function that acts as its role.
    pub(crate) fn function(session_arn: String, role: String, policy: Arc<Document>) -> Self {
        let (own, origin) = (Own::AsSaid(policy), Origin::default());
        Self { kind: Kind::Function, arn: session_arn, principal: role, own, origin }
    }

    /// A service, such as `s3.amazonaws.com`, and for whom it asks.
    pub(crate) fn service(name: String, origin: Origin) -> Self {
        Self { kind: Kind::Service, principal: name.clone(), arn: name, own: Own::Nothing, origin }
    }

    /// The account in its ARN: twelve digits.
    pub(crate) fn account(&self) -> &str {
        self.principal.split(':').nth(4).unwrap_or_default()
    }

    /// Users have one, sessions of roles have none.
    fn user_name(&self) -> Option<&str> {
        let name = self.principal.splitn(6, ':').nth(5)?.strip_prefix("user/")?;
        name.rsplit('/').next()
    }

    /// What the policy of a resource says about this caller. One that lets the whole account in leaves it to the account
    /// who of its people may; one that keeps the account out keeps everybody out.
    fn met_by(&self, policy: &Document, request: &Request<'_>) -> Decision {
        if self.kind == Kind::Service {
            return policy.decide(&Request { principal: Principal::Service(&self.arn), ..*request });
        }
        let arns = [self.arn.as_str(), self.principal.as_str()];
        let as_account =
            |account| Request { principal: Principal::Identity { arns: &arns, account }, ..*request };
        match policy.decide(&as_account(self.account())) {
            Decision::Denied => Decision::Denied,
            Decision::Allowed | Decision::Unmentioned => policy.decide(&as_account("")),
        }
    }
}

/// What the policies that are about a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// One allows it and none denies it, or nobody is asked.
    Allowed,
    /// The policy of the caller denies it by name.
    DeniedByIdentity,
    /// That of the resource does.
    DeniedByResource,
    /// None is about it.
    Unmentioned,
}

/// What policies say of a caller who wants to do something to a resource, which may have a policy of its own.
pub(crate) fn judge(
    caller: &Caller,
    permission: &Permission,
    resource_policy: Option<&Document>,
    circumstances: &Circumstances<'_>,
) -> Verdict {
    let Permission { action, resource, .. } = permission;
    let context = |key: &str| context(key, caller, permission, circumstances);
    let request = Request { principal: Principal::Anonymous, action, resource, context: &context };
    let bare = Request { resource: resource.strip_suffix(":$LATEST").unwrap_or(resource), ..request };
    let own = match &caller.own {
        Own::Everything => return Verdict::Allowed,
        Own::Nothing => Decision::Unmentioned,
        Own::AsSaid(policy) => match policy.decide(&bare) {
            Decision::Denied => Decision::Denied,
            Decision::Allowed | Decision::Unmentioned => policy.decide(&request),
        },
    };
    // The policy of `$LATEST` is that of the function, which it names without a qualifier.
    let of_resource = resource_policy.map_or(Decision::Unmentioned, |it| caller.met_by(it, &bare));
    match (own, of_resource) {
        (Decision::Denied, _) => Verdict::DeniedByIdentity,
        (_, Decision::Denied) => Verdict::DeniedByResource,
        (Decision::Allowed, _) | (_, Decision::Allowed) => Verdict::Allowed,
        (Decision::Unmentioned, Decision::Unmentioned) => Verdict::Unmentioned,
    }
}

/// Whether a caller may do something to a resource, which may have a policy of its own.
///
/// # Errors
/// `AccessDeniedException` in the words of IAM.
pub(crate) fn authorise(
    caller: &Caller,
    permission: &Permission,
    resource_policy: Option<&Document>,
    circumstances: &Circumstances<'_>,
) -> Result<(), ApiError> {
    let Permission { action, resource, .. } = permission;
    let because = match judge(caller, permission, resource_policy, circumstances) {
        Verdict::Allowed => return Ok(()),
        Verdict::DeniedByIdentity => "with an explicit deny in an identity-based policy".to_owned(),
        Verdict::DeniedByResource => "with an explicit deny in a resource-based policy".to_owned(),
        Verdict::Unmentioned => {
            let which = if caller.kind == Kind::Service { "resource" } else { "identity" };
            format!("because no {which}-based policy allows the {action} action")
        }
    };
    let text = format!(
        "User: {} is not authorized to perform: {action} on resource: {resource} {because}",
        caller.arn
    );
    Err(ApiError::new(ErrorCode::AccessDeniedException, text))
}

/// The value of a condition key; those are `keyring::CONTEXT_KEYS` and, for policies of resources, `policies::CONTEXT_KEYS`.
fn context(
    key: &str,
    caller: &Caller,
    permission: &Permission,
    circumstances: &Circumstances<'_>,
) -> Option<String> {
    let is_identity = caller.kind != Kind::Service;
    match key {
        "aws:principalarn" => is_identity.then(|| caller.principal.clone()),
        "aws:principalaccount" => is_identity.then(|| caller.account().to_owned()),
        "aws:requestedregion" => Some(circumstances.region.to_owned()),
        "aws:securetransport" => Some(circumstances.connection.tls.is_some().to_string()),
        "aws:sourceaccount" => caller.origin.account.clone(),
        "aws:sourcearn" => caller.origin.arn.clone(),
        "aws:sourceip" => circumstances.connection.source.map(|address| address.to_string()),
        "aws:useragent" => circumstances.agent.map(str::to_owned),
        "aws:username" => caller.user_name().map(str::to_owned),
        "lambda:eventsourcetoken" => caller.origin.token.clone(),
        "lambda:functionurlauthtype" => circumstances.url.map(str::to_owned),
        "lambda:invokedviafunctionurl" => circumstances.url.map(|_| "true".to_owned()),
        other => permission.context.iter().find(|(name, _)| *name == other).map(|(_, value)| value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::Identity;
    use super::super::server::Peer;
    use super::super::tls::Agreed;
    use super::*;
    use crate::daemon::keyring::CONTEXT_KEYS;
    use serde_json::{Value, json};

    const F: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";
    const USER: &str = "arn:aws:iam::000000000000:user/team/ci";
    const ROLE: &str = "arn:aws:iam::000000000000:role/path/r";
    const SESSION: &str = "arn:aws:sts::000000000000:assumed-role/r/f";

    async fn connection(address: &str) -> Connection {
        let remote = Some(std::net::SocketAddr::new(address.parse().expect("is one"), 1));
        Identity::Anyone
            .meet(Peer {
                remote,
                local: None,
                tls: Some(Agreed { version: "TLSv1.3", suite: "TLS_AES_128_GCM_SHA256" }),
            })
            .await
    }

    fn document(statement: Value) -> Arc<Document> {
        serde_json::from_value::<Document>(json!({ "Statement": statement })).expect("is a policy").into()
    }

    fn own(effect: &str) -> Arc<Document> {
        document(json!({ "Effect": effect, "Action": "lambda:InvokeFunction", "Resource": F }))
    }

    /// A policy of another action.
    fn silent() -> Arc<Document> {
        document(json!({ "Effect": "Allow", "Action": "lambda:GetFunction", "Resource": "*" }))
    }

    fn of_resource(effect: &str, principal: &str) -> Arc<Document> {
        document(json!({
            "Effect": effect, "Action": "lambda:InvokeFunction", "Resource": F, "Principal": { "AWS": principal }
        }))
    }

    async fn asked(caller: &Caller, resource_policy: Option<&Document>) -> Result<(), String> {
        asked_for(caller, F, resource_policy).await
    }

    async fn asked_for(
        caller: &Caller,
        resource: &str,
        resource_policy: Option<&Document>,
    ) -> Result<(), String> {
        let permission = Permission::new("lambda:InvokeFunction", resource);
        let connection = connection("10.1.2.3").await;
        let circumstances =
            Circumstances { region: "us-east-1", connection: &connection, agent: None, url: None };
        authorise(caller, &permission, resource_policy, &circumstances).map_err(|error| {
            assert_eq!(error.code(), ErrorCode::AccessDeniedException);
            error.message().unwrap_or_default().to_owned()
        })
    }

    #[tokio::test]
    async fn what_no_policy_allows_and_what_one_denies_is_refused_in_iams_words() {
        let denied = |because: &str| {
            Err(format!(
                "User: {USER} is not authorized to perform: lambda:InvokeFunction on resource: {F} {because}"
            ))
        };
        let unmentioned = denied("because no identity-based policy allows the lambda:InvokeFunction action");
        let user = |policy| Caller::holder(USER.to_owned(), policy);
        assert_eq!(asked(&user(own("Allow")), None).await, Ok(()));
        assert_eq!(asked(&user(silent()), None).await, unmentioned);
        let explicit = denied("with an explicit deny in an identity-based policy");
        assert_eq!(asked(&user(own("Deny")), Some(&of_resource("Allow", USER))).await, explicit);
        let explicit = denied("with an explicit deny in a resource-based policy");
        assert_eq!(asked(&user(own("Allow")), Some(&of_resource("Deny", USER))).await, explicit);
        assert_eq!(asked(&user(own("Allow")), Some(&of_resource("Deny", "000000000000"))).await, explicit);
    }

    #[tokio::test]
    async fn the_policy_of_a_resource_lets_in_whom_it_names() {
        let user = Caller::holder(USER.to_owned(), silent());
        assert_eq!(asked(&user, Some(&of_resource("Allow", USER))).await, Ok(()));
        for somebody_else in ["arn:aws:iam::000000000000:user/other", "000000000000", "111111111111"] {
            assert!(
                asked(&user, Some(&of_resource("Allow", somebody_else))).await.is_err(),
                "{somebody_else}"
            );
        }
        let function = Caller::function(SESSION.to_owned(), ROLE.to_owned(), silent());
        for name in [SESSION, ROLE] {
            assert_eq!(asked(&function, Some(&of_resource("Allow", name))).await, Ok(()), "{name}");
        }
    }

    #[tokio::test]
    async fn a_denial_of_a_function_is_one_of_its_latest_version() {
        let latest = format!("{F}:$LATEST");
        let everything = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
        let denial = json!({ "Effect": "Deny", "Action": "lambda:*", "Resource": F });
        let user = Caller::holder(USER.to_owned(), document(json!([everything, denial])));
        for resource in [F, &latest] {
            assert!(asked_for(&user, resource, None).await.is_err(), "{resource}");
        }
        assert_eq!(asked_for(&user, &format!("{F}:live"), None).await, Ok(()));
        // What allows the one does not allow the other, as at AWS.
        let user = Caller::holder(USER.to_owned(), own("Allow"));
        assert!(asked_for(&user, &latest, None).await.is_err());
    }

    #[tokio::test]
    async fn a_service_may_do_what_the_resource_lets_it_do() {
        let from = |arn: Option<&str>| {
            let origin = Origin { arn: arn.map(str::to_owned), ..Origin::default() };
            Caller::service("s3.amazonaws.com".to_owned(), origin)
        };
        let statement = |effect: &str, service: &str| {
            json!({
                "Effect": effect, "Action": "lambda:InvokeFunction", "Resource": F,
                "Principal": { "Service": service },
                "Condition": { "ArnLike": { "aws:SourceArn": "arn:aws:s3:::photos*" } }
            })
        };
        let policy = document(statement("Allow", "s3.amazonaws.com"));
        let (right, wrong) = (from(Some("arn:aws:s3:::photos-2")), from(Some("arn:aws:s3:::other")));
        assert_eq!(asked(&right, Some(&policy)).await, Ok(()));
        for caller in [&wrong, &from(None)] {
            let refused = Err(format!(
                "User: s3.amazonaws.com is not authorized to perform: lambda:InvokeFunction on resource: {F} \
                 because no resource-based policy allows the lambda:InvokeFunction action"
            ));
            assert_eq!(asked(caller, Some(&policy)).await, refused);
            assert_eq!(asked(caller, None).await, refused);
        }
        let other = document(statement("Allow", "sns.amazonaws.com"));
        assert!(asked(&right, Some(&other)).await.is_err(), "another service");
        let both =
            document(json!([statement("Allow", "s3.amazonaws.com"), statement("Deny", "s3.amazonaws.com")]));
        assert!(asked(&right, Some(&both)).await.is_err(), "a denial wins");
        assert!(asked(&right, Some(&of_resource("Allow", "000000000000"))).await.is_err(), "no identity");
        assert!(asked(&right, Some(&Document::closed())).await.is_err());
    }

    #[tokio::test]
    async fn the_owner_of_the_account_is_asked_nothing() {
        let owner = Caller::owner(&Home::new("us-east-1", "000000000000"));
        assert_eq!((owner.kind, owner.account()), (Kind::Owner, "000000000000"));
        assert_eq!(owner.arn, "arn:aws:iam::000000000000:root");
        assert_eq!(asked(&owner, Some(&of_resource("Deny", "*"))).await, Ok(()));
    }

    #[tokio::test]
    async fn every_condition_key_that_policies_may_name_has_a_value() {
        let connection = connection("10.1.2.3").await;
        let circumstances =
            Circumstances { region: "us-east-1", connection: &connection, agent: Some("test"), url: None };
        let user = Caller::holder(USER.to_owned(), silent());
        let permission = Permission::new("iam:PassRole", ROLE)
            .with("iam:passedtoservice", "lambda.amazonaws.com")
            .with("lambda:functionarn", F);
        let value = |key: &str| context(key, &user, &permission, &circumstances);
        for key in CONTEXT_KEYS {
            assert!(value(key).is_some(), "{key}");
        }
        assert_eq!(value("aws:username").as_deref(), Some("ci"));
        assert_eq!(value("aws:sourceip").as_deref(), Some("10.1.2.3"));
        let function = Caller::function(SESSION.to_owned(), ROLE.to_owned(), silent());
        assert_eq!(context("aws:username", &function, &permission, &circumstances), None);
        assert_eq!(
            context("aws:principalarn", &function, &permission, &circumstances).as_deref(),
            Some(ROLE)
        );
        let plain = Permission::new("lambda:InvokeFunction", F);
        assert_eq!(context("lambda:functionarn", &user, &plain, &circumstances), None);
        let origin = Origin {
            arn: Some("arn:aws:s3:::b".to_owned()),
            account: Some("000000000000".to_owned()),
            token: Some("t".to_owned()),
        };
        let service = Caller::service("s3.amazonaws.com".to_owned(), origin);
        let value = |key: &str| context(key, &service, &plain, &circumstances);
        for key in ["aws:sourcearn", "aws:sourceaccount", "lambda:eventsourcetoken"] {
            assert!(value(key).is_some(), "{key}");
            assert_eq!(context(key, &user, &plain, &circumstances), None, "{key} is a service's");
        }
        assert_eq!(
            [value("aws:principalarn"), value("aws:principalaccount"), value("aws:username")],
            [None, None, None]
        );
    }
}
