//! Settings that name things elsewhere, and settings that go or do not go together.
//!
//! Subnets, file systems, queues and keys are somebody else's: their names are checked, kept and told, and nothing asks
//! whether they exist. Texts are the service's where they are known (recorded, or quoted by its users). Pure.

use crate::store::Configuration;
use hearth_api::error::ApiError;
use hearth_api::shapes::{DeadLetterConfig, FileSystemConfig, VpcConfig};
use serde_json::{Value, json};

/// `EphemeralStorage` of a function with SnapStart, MiB.
const SNAP_START_EPHEMERAL_MB: u32 = 512;
/// Runtimes that SnapStart exists for at AWS, whether or not this host has them.
const SNAP_START_RUNTIMES: [&str; 12] = [
    "java11",
    "java11.al2023",
    "java17",
    "java17.al2023",
    "java21",
    "java25",
    "python3.12",
    "python3.13",
    "python3.14",
    "python3.15",
    "dotnet8",
    "dotnet10",
];

fn refuse<T>(text: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::invalid_parameter(text.into()))
}

/// The service that an ARN names, and the rest of it.
fn service_of(arn: &str) -> (&str, &str) {
    let mut parts = arn.splitn(6, ':').skip(2);
    (parts.next().unwrap_or_default(), parts.nth(2).unwrap_or_default())
}

/// Where events go that could not be handled; an empty ARN takes it away.
pub(super) fn dead_letter(
    given: Option<DeadLetterConfig>,
    settings: &mut Configuration,
) -> Result<(), ApiError> {
    let Some(arn) = given.map(|config| config.target_arn.unwrap_or_default()) else { return Ok(()) };
    if arn.is_empty() {
        settings.dead_letter_arn = None;
        return Ok(());
    }
    match service_of(&arn) {
        ("sqs" | "sns", "") => refuse(format!("The dead letter target {arn} names no queue and no topic.")),
        ("sqs" | "sns", name) if name.ends_with(".fifo") => refuse(format!(
            "The dead letter target {arn} is of type FIFO. Only standard queues and standard topics are supported."
        )),
        ("sqs" | "sns", _) => {
            settings.dead_letter_arn = Some(arn);
            Ok(())
        }
        _ => refuse(format!(
            "The dead letter target {arn} is invalid. Only Amazon SQS queues and Amazon SNS topics are supported."
        )),
    }
}

/// The key of environment variables; an empty ARN takes it away.
pub(super) fn key(given: Option<String>, settings: &mut Configuration) -> Result<(), ApiError> {
    let Some(arn) = given else { return Ok(()) };
    if !arn.is_empty() && service_of(&arn).0 != "kms" {
        return refuse(format!(
            "Lambda was unable to configure access to your environment variables because the KMS key is invalid for CreateGrant. Please check your KMS key settings. KMS Exception: InvalidArnException KMS Message: Invalid arn {arn}"
        ));
    }
    settings.kms_key_arn = (!arn.is_empty()).then_some(arn);
    Ok(())
}

/// Subnets and security groups: both or none. What is not given stays as it is.
pub(super) fn vpc(given: Option<VpcConfig>, settings: &mut Configuration) -> Result<(), ApiError> {
    let Some(given) = given else { return Ok(()) };
    let old = settings.vpc_config.take().unwrap_or_default();
    let list = |given: Option<Vec<String>>, member: &str| match given {
        Some(given) => json!(given),
        None => old.get(member).cloned().unwrap_or_else(|| json!([])),
    };
    let subnets = list(given.subnet_ids, "SubnetIds");
    let groups = list(given.security_group_ids, "SecurityGroupIds");
    if is_empty(&subnets) != is_empty(&groups) {
        return refuse("SubnetIds and SecurityIds must coexist or be both empty list.");
    }
    let ipv6 = given.ipv6_allowed_for_dual_stack.map(Value::from);
    settings.vpc_config = Some(json!({
        "SubnetIds": subnets,
        "SecurityGroupIds": groups,
        "VpcId": "",
        "Ipv6AllowedForDualStack": ipv6.or_else(|| old.get("Ipv6AllowedForDualStack").cloned()).unwrap_or(false.into()),
    }));
    Ok(())
}

/// File systems; none at all takes them away.
pub(super) fn file_systems(
    given: Option<Vec<FileSystemConfig>>,
    settings: &mut Configuration,
) -> Result<(), ApiError> {
    let Some(given) = given else { return Ok(()) };
    let value =
        serde_json::to_value(&given).map_err(|error| ApiError::invalid_parameter(error.to_string()))?;
    settings.file_systems = (!given.is_empty()).then_some(value);
    Ok(())
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

/// Refuses settings that exclude each other.
pub(super) fn together(settings: &Configuration) -> Result<(), ApiError> {
    let file_system = settings.file_systems.as_ref().and_then(|list| list.pointer("/0/Arn")?.as_str());
    let in_vpc =
        settings.vpc_config.as_ref().is_some_and(|vpc| vpc.get("SubnetIds").is_some_and(|it| !is_empty(it)));
    if let Some(arn) = file_system.filter(|_| !in_vpc) {
        return refuse(format!(
            "Function must be configured to execute in a VPC to reference access point {arn}. Please update the function configuration to include VPC subnets and security groups."
        ));
    }
    if settings.snap_start != "PublishedVersions" {
        return Ok(());
    }
    let unsupported = match settings.runtime.as_deref() {
        _ if settings.package_type == "Image" => Some("ContainerImage"),
        Some(runtime) if !SNAP_START_RUNTIMES.contains(&runtime) => Some(runtime),
        _ if file_system.is_some() => Some("FileSystemConfigs"),
        _ if settings.ephemeral_mb > SNAP_START_EPHEMERAL_MB => Some("EphemeralStorage above 512 MB"),
        _ => None,
    };
    match unsupported {
        Some(what) => refuse(format!("{what} is not supported for SnapStart enabled functions.")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(result: Result<(), ApiError>) -> String {
        result.expect_err("is refused").message().unwrap_or_default().to_owned()
    }

    #[test]
    fn dead_letters_go_to_standard_queues_and_topics() {
        let mut settings = Configuration::default();
        let mut set = |arn: &str| {
            let given = DeadLetterConfig { target_arn: Some(arn.to_owned()) };
            dead_letter(Some(given), &mut settings).map(|()| settings.dead_letter_arn.clone())
        };
        for arn in ["arn:aws:sqs:us-east-1:1:q", "arn:aws:sns:us-east-1:1:t"] {
            assert_eq!(set(arn).ok().flatten().as_deref(), Some(arn));
        }
        for (arn, what) in [
            ("arn:aws:sqs:us-east-1:1:q.fifo", "FIFO"),
            ("arn:aws:lambda:us-east-1:1:function:f", "Only Amazon SQS"),
            ("arn:aws:sqs:us-east-1:1:", "names no queue"),
            ("arn:aws:sqs:", "names no queue"),
        ] {
            assert!(said(set(arn).map(drop)).contains(what), "{arn}");
        }
        assert_eq!(set("").ok().flatten(), None);
    }

    #[test]
    fn subnets_and_groups_come_together_and_stay_until_they_are_named() {
        let mut settings = Configuration::default();
        let lists = |subnets: &[&str], groups: &[&str]| VpcConfig {
            subnet_ids: Some(subnets.iter().map(|it| (*it).to_owned()).collect()),
            security_group_ids: Some(groups.iter().map(|it| (*it).to_owned()).collect()),
            ipv6_allowed_for_dual_stack: None,
        };
        for lonely in [lists(&["subnet-1"], &[]), lists(&[], &["sg-1"])] {
            assert!(said(vpc(Some(lonely), &mut settings.clone())).contains("must coexist"));
        }
        vpc(Some(lists(&["subnet-1"], &["sg-1"])), &mut settings).expect("is taken");
        let flag = VpcConfig { ipv6_allowed_for_dual_stack: Some(true), ..VpcConfig::default() };
        vpc(Some(flag), &mut settings).expect("is taken");
        let expected = json!({ "SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "VpcId": "",
            "Ipv6AllowedForDualStack": true });
        assert_eq!(settings.vpc_config, Some(expected));
        vpc(Some(lists(&[], &[])), &mut settings).expect("is taken");
        assert!(settings.vpc_config.is_some_and(|it| is_empty(&it["SubnetIds"])));
    }

    #[test]
    fn snap_start_excludes_what_it_does_at_the_service() {
        let with = |change: fn(&mut Configuration)| {
            let mut settings = Configuration {
                snap_start: "PublishedVersions".to_owned(),
                runtime: Some("python3.12".to_owned()),
                ..Configuration::default()
            };
            change(&mut settings);
            together(&settings)
        };
        assert!(with(|_| ()).is_ok());
        assert!(with(|it| it.ephemeral_mb = 513).is_err());
        assert!(with(|it| it.package_type = "Image".to_owned()).is_err());
        let refused = with(|it| it.runtime = Some("nodejs22.x".to_owned()));
        assert_eq!(said(refused), "nodejs22.x is not supported for SnapStart enabled functions.");
        assert!(with(|it| (it.snap_start, it.ephemeral_mb) = ("None".to_owned(), 513)).is_ok());
    }
}
