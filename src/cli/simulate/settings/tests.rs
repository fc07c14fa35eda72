//! Settings as they are written, and what comes of them.

use super::*;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in pairs {
        settings.set(name, value).unwrap();
    }
    settings
}

#[test]
fn the_profile_is_aws_unless_said_otherwise_and_single_values_win() {
    let aws = Settings::default().limits().unwrap();
    assert_eq!((aws.requests_per_environment, aws.scaling), (10, Scaling::PER_FUNCTION));
    assert!(aws.memory_budget_mb() == u64::MAX && aws.account_concurrency == 1_000);
    let limits = settings(&[("scaling", "classic"), ("account_limit", "7"), ("scaling-burst", "500")]);
    let limits = limits.limits().unwrap();
    assert_eq!(limits.scaling, Scaling::Classic { burst: 500, per_minute: 500 });
    assert_eq!((limits.account_concurrency, limits.requests_per_concurrency), (7, 10));
    let boxed = settings(&[("profile", "box"), ("memory-capacity-mb", "1000")]).limits().unwrap();
    assert_eq!(boxed, SchedulerLimits { memory_capacity_mb: 1_000, ..SchedulerLimits::default() });
}

#[test]
fn later_settings_replace_earlier_ones_of_the_same_name() {
    let merged = settings(&[("rate", "5"), ("a.b.rate", "6")]).over(&settings(&[("rate", "9")]));
    assert_eq!(merged.to_string(), "rate=9 a.b.rate=6");
}

#[test]
fn functions_are_shaped_all_or_one_by_name() {
    let function = |name: &str| Function {
        name: name.to_owned(),
        arrivals: Some(Pattern::Constant { rate: 1.0, offset: Duration::ZERO }),
        ..Function::default()
    };
    let functions = vec![function("a"), function("b.c")];
    let mut workload = Workload { seed: 1, length: Duration::ZERO, functions };
    let given = [("provisioned", "3"), ("b.c.provisioned", "4"), ("arrivals", "poisson"), ("rate", "8")];
    settings(&given).shape(&mut workload).unwrap();
    let got = |at: usize| (workload.functions[at].provisioned, workload.functions[at].arrivals.clone());
    assert_eq!(got(0), (3, Some(Pattern::Poisson { rate: 8.0 })));
    assert_eq!(got(1).0, 4);
    assert!(settings(&[("c.rate", "1")]).shape(&mut workload).unwrap_err().contains("no function \"c\""));
}

#[test]
fn limits_of_age_idleness_and_reserve_are_set_as_in_the_configuration() {
    let given = [("recycle-after-s", "7"), ("freeze_after_ms", "20"), ("start-reserve-mb", "5")];
    let limits = settings(&given).limits().unwrap();
    assert_eq!(limits.recycle_after, Some(Duration::from_secs(7)));
    assert_eq!(limits.freeze_after, Some(Duration::from_millis(20)));
    assert_eq!(limits.start_reserve_mb, 5);
    let never = settings(&[("recycle-after-s", "0"), ("freeze-after-ms", "0")]).limits().unwrap();
    assert_eq!((never.recycle_after, never.freeze_after), (None, None));
}

#[test]
fn no_more_is_provisioned_than_reserved() {
    let shaped = |pairs: &[(&str, &str)]| {
        let functions = vec![Function { name: "f".to_owned(), ..Function::default() }];
        settings(pairs).shape(&mut Workload { seed: 1, length: Duration::ZERO, functions })
    };
    let why = shaped(&[("reserved", "50"), ("provisioned", "60")]).unwrap_err();
    assert!(why.starts_with("f: provisioned=60 is more than reserved=50"), "{why}");
    assert_eq!(shaped(&[("reserved", "60"), ("provisioned", "60")]), Ok(()));
    assert_eq!(shaped(&[("provisioned", "60")]), Ok(()));
    assert!(settings(&[("reserved", "5"), ("provisioned", "6")]).changes().is_err());
    assert!(settings(&[("reserved", "5"), ("provisioned", "5")]).changes().is_ok());
}

#[test]
fn wrong_names_and_values_say_what_is_right() {
    let wrong = |name: &str, value: &str| Settings::default().set(name, value).unwrap_err();
    assert!(wrong("speed", "1").contains("account-limit"));
    assert!(wrong("a.speed", "1").contains("account-limit"));
    assert!(wrong("a.profile", "aws").contains("single functions"));
    assert_eq!(wrong("profile", "azure"), "aws or box");
    assert_eq!(wrong("reserved", "-1"), "a whole number from 0 to 4294967295");
    assert!(wrong("rate", "NaN").contains("a number from 0"));
    assert!(wrong("duration-ms", "soon").contains("no number"));
}

#[test]
fn every_key_has_a_row_and_recorded_traffic_takes_some_of_them() {
    for (name, key, _) in KEYS {
        assert_eq!((row(name).map(|(key, _)| key), name_of(key)), (Some(key), name));
    }
    let changes = settings(&[("reserved", "5"), ("account-limit", "9")]).changes().unwrap();
    assert_eq!((changes.reserved, changes.provisioned), (Some(5), None));
    assert!(settings(&[("rate", "5")]).changes().is_err());
}
