//! Precedence, refusals and what people read.

use super::check::{MissingRuntime, finish};
use super::keys::{Fallback, KEYS, Kind};
use super::merge::{ConfigError, Merge, Origin, Origins};
use super::{Auth, Certificate, Config, LogFormat, render_reference, render_sample};
use std::collections::BTreeSet;
use std::path::Path;

fn env(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn load(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<(Config, Origins), ConfigError> {
    let mut merge = Merge::new();
    merge.text(Path::new("hearth.toml"), file);
    merge.environment(&env(variables));
    let flags: Vec<(&str, String)> = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    merge.flags(&flags);
    finish(merge)
}

#[track_caller]
fn refused(file: &str) -> String {
    load(file, &[], &[]).expect_err("refused").to_string()
}

#[test]
fn without_sources_everything_has_its_default() {
    let (config, origins) = Config::load(None, &[], &[]).expect("loads");
    assert_eq!(config.listen.to_string(), "127.0.0.1:3001");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:3002");
    assert_eq!(config.state_dir, Path::new("/var/lib/hearth"));
    assert_eq!((config.region.as_str(), config.account_id.as_str()), ("us-east-1", "000000000000"));
    assert_eq!((config.auth, config.user), (Auth::Local, None));
    assert_eq!((config.limits.account_concurrency, config.limits.idle_timeout_s), (1_000, 300));
    assert_eq!((config.sandbox.uid_base, config.sandbox.pids_max), (1_900_000_000, 1_024));
    assert_eq!(config.missing_runtime, MissingRuntime::Refuse);
    assert_eq!(origins.origin("listen"), Some(&Origin::Default));
    assert_eq!(origins.origin("user"), None);
}

#[test]
fn keys_and_config_agree() {
    // Each key changed by itself changes the configuration: none is read under a wrong name or not at all.
    let (defaults, _) = Config::load(None, &[], &[]).expect("loads");
    for key in &KEYS {
        let parts = key.name.replace('*', "\"python3.12\"");
        let special = match key.name {
            "listen" | "admin_listen" => Some("\"127.0.0.1:4\""),
            "region" => Some("\"eu-west-1\""),
            "account_id" => Some("\"123456789012\""),
            "sandbox.uid_base" => Some("100000"),
            "sandbox.uid_count" => Some("70000"),
            "auth" => Some("\"none\""),
            "limits.scaling_burst" | "limits.scaling_per_minute" => Some("7\nlimits.profile = \"aws\""),
            "tls.cert" => Some("\"x\"\ntls.key = \"y\""),
            "tls.key" => Some("\"x\"\ntls.cert = \"y\""),
            "network.range" => Some("\"10.0.0.0/16\""),
            "network.deny" | "network.allow" => Some("[\"192.0.2.0/24\"]"),
            "network.dns" => Some("[\"192.0.2.1\"]"),
            _ => None,
        };
        let value = special.map_or_else(
            || match (key.kind, key.fallback) {
                (Kind::Integer(min, max), Fallback::Integer(default)) if default == min => max.to_string(),
                (Kind::Integer(min, _), _) => min.to_string(),
                (Kind::Choice(words), _) => format!("{:?}", words[1]),
                (Kind::List, _) => "[\"x\"]".into(),
                (Kind::Endpoint, _) => "\"http://x:9\"".into(),
                (Kind::Text | Kind::Path | Kind::Address, _) => "\"x\"".into(),
            },
            str::to_owned,
        );
        let (config, origins) = load(&format!("{parts} = {value}"), &[], &[]).expect(key.name);
        assert_ne!(config, defaults, "{} is read by nobody", key.name);
        let set = origins.settings.iter().find(|(parts, _)| key.matches(parts)).expect(key.name);
        assert_eq!(set.1.1, Origin::File { path: "hearth.toml".into(), line: 1 }, "{}", key.name);
    }
}

#[test]
fn defaults_are_within_their_own_bounds_and_names_are_unique() {
    let names: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names.len(), KEYS.len());
    for key in &KEYS {
        assert!(!key.doc.is_empty(), "{}", key.name);
        if let (Kind::Integer(min, max), Fallback::Integer(default)) = (key.kind, key.fallback) {
            assert!((min..=max).contains(&default), "{}", key.name);
        }
    }
}

#[test]
fn flags_beat_variables_beat_the_file_beats_defaults() {
    let file = "region = \"eu-west-1\"\naccount_id = \"111111111111\"\n[limits]\naccount_concurrency = 5\n";
    let variables = [("HEARTH_REGION", "eu-west-2"), ("HEARTH_LIMITS__ACCOUNT_CONCURRENCY", "6")];
    let (config, origins) = load(file, &variables, &[("region", "eu-west-3")]).expect("loads");
    assert_eq!((config.region.as_str(), config.account_id.as_str()), ("eu-west-3", "111111111111"));
    assert_eq!(config.limits.account_concurrency, 6);
    let origin = |key: &str| origins.origin(key).expect("set").to_string();
    assert_eq!(origin("region"), "flag --region");
    assert_eq!(origin("account_id"), "hearth.toml:2");
    assert_eq!(origin("limits.account_concurrency"), "environment HEARTH_LIMITS__ACCOUNT_CONCURRENCY");
    assert_eq!(origin("limits.overcommit"), "default");
}

#[test]
fn lists_and_runtimes_can_come_from_variables() {
    let variables = [
        ("HEARTH_ALLOWED_HOSTS", "a.example, b.example"),
        ("HEARTH_RUNTIMES__PYTHON3_12__INTERPRETER", "/opt/py"),
        ("HEARTH_RUNTIMES__NODEJS22_X__INTERPRETER", "/opt/node"),
        ("HEARTH_RUNTIMES__MISSING", "substitute"),
        ("HEARTH_LOG__FORMAT", "json"),
        ("HEARTH_LISTEN", ""),
    ];
    let (config, _) = load("", &variables, &[]).expect("loads");
    assert_eq!(config.allowed_hosts, ["a.example", "b.example"]);
    let interpreters: Vec<(String, String)> =
        config.interpreters().into_iter().map(|(name, path)| (name, path.display().to_string())).collect();
    let expected = [("nodejs22.x", "/opt/node"), ("python3.12", "/opt/py")];
    assert_eq!(interpreters, expected.map(|(name, path)| (name.to_owned(), path.to_owned())));
    assert!(config.substitutes_runtimes());
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.listen.port(), 3001, "an empty variable counts as not set");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    let expected = "hearth.toml:2: there is no key `limits.acount_concurency`; did you mean \
                    `limits.account_concurrency`?";
    assert_eq!(refused("[limits]\nacount_concurency = 5"), expected);
    assert_eq!(
        refused("idle_timeout_s = 5"),
        "hearth.toml:1: there is no key `idle_timeout_s`; did you mean `limits.idle_timeout_s`?"
    );
    assert_eq!(refused("frobnicate = 5"), "hearth.toml:1: there is no key `frobnicate`");
    assert_eq!(
        refused("[limits.deep.deeper]\nx = 1"),
        "hearth.toml:2: there is no key `limits.deep.deeper.x`"
    );
}

#[test]
fn misspelt_variables_are_refused_and_foreign_ones_only_mentioned() {
    let error = load("", &[("HEARTH_REGON", "eu-west-1")], &[]).expect_err("refused").to_string();
    assert_eq!(
        error,
        "environment HEARTH_REGON: there is no key `HEARTH_REGON`; did you mean `HEARTH_REGION`?"
    );
    let variables = [("HEARTH_TEST_VENV", "1"), ("PATH", "/bin"), ("HEARTH_LONG", "1")];
    let (_, origins) = load("", &variables, &[]).expect("loads");
    assert_eq!(origins.ignored(), ["HEARTH_TEST_VENV", "HEARTH_LONG"]);
}

#[test]
fn wrong_values_say_where_they_are_and_what_would_fit() {
    assert_eq!(
        refused("\n[limits]\novercommit = 0"),
        "hearth.toml:3: `limits.overcommit` is 0, but must be a whole number from 1 to 1000"
    );
    assert_eq!(
        refused("limits.overcommit = \"many\""),
        "hearth.toml:1: `limits.overcommit` is \"many\", but must be a whole number from 1 to 1000"
    );
    assert_eq!(
        refused("[listen]\nport = 1"),
        "hearth.toml:1: `listen` is a TOML table, but must be an IP address and a port, like \"127.0.0.1:3001\" or \"[::1]:3001\""
    );
    assert!(refused("listen = \"example.com:1\"").contains("must be an IP address"));
    assert!(refused("log.format = \"xml\"").ends_with("must be \"text\" or \"json\""));
    assert!(refused("allowed_hosts = [1]").contains("must be a list of texts"));
    assert!(refused("account_id = \"12\"").contains("must be twelve digits"));
    assert!(refused("state_dir = \"\"").contains("must be a path"));
    for region in ["local", "us-east", "US-EAST-1", "us-east-1a", "us--1"] {
        assert!(refused(&format!("region = \"{region}\"")).contains("shaped like a region"), "{region}");
    }
    for domain in ["a..b", "a:1", "A.example", "x/y"] {
        assert!(
            refused(&format!("url_domain = \"{domain}\"")).contains("a domain in lower case"),
            "{domain}"
        );
    }
    for user in ["root", "0", "nobody"] {
        assert!(refused(&format!("user = \"{user}\"")).contains("neither root nor nobody"), "{user}");
    }
    assert!(refused("[runtimes.ruby3]\ninterpreter = \"/x\"").contains("like \"python3.12\""));
}

#[test]
fn all_problems_are_reported_at_once() {
    let error = load("overcommit = 1\nlistne = 2", &[("HEARTH_LOG__FORMAT", "xml")], &[("account_id", "x")]);
    assert_eq!(error.expect_err("refused").problems.len(), 4);
}

#[test]
fn a_file_that_is_no_toml_names_its_line() {
    let error = refused("region = \"eu-west-1\"\nlisten = [\n");
    assert!(error.starts_with("hearth.toml:"), "{error}");
    assert!(
        refused("region = 1\nregion = 2").starts_with("hearth.toml:2: "),
        "{}",
        refused("region = 1\nregion = 2")
    );
}

#[test]
fn a_missing_file_is_named() {
    let error =
        Config::load(Some(Path::new("/nonexistent/hearth.toml")), &[], &[]).expect_err("refused").to_string();
    assert!(
        error.starts_with("cannot read the configuration file /nonexistent/hearth.toml: No such file"),
        "{error}"
    );
}

#[test]
fn other_machines_are_served_only_with_signatures_or_when_auth_none_is_written_out() {
    for address in ["0.0.0.0:3001", "192.0.2.1:3001", "[::]:3001"] {
        for key in ["listen", "admin_listen"] {
            let error = load("", &[], &[(key, address)]).expect_err("refused").to_string();
            assert!(
                error.starts_with(&format!("flag --{}: `{key}` is {address}", key.replace('_', "-"))),
                "{error}"
            );
            assert!(
                error.contains("auth = \"local\" knows")
                    && error.contains("auth = \"sigv4\"")
                    && error.contains("auth = \"none\""),
                "{error}"
            );
        }
        for (word, auth) in [("none", Auth::None), ("sigv4", Auth::Sigv4)] {
            let (config, _) = load(&format!("auth = {word:?}"), &[], &[("listen", address)]).expect("loads");
            assert_eq!(config.auth, auth);
        }
    }
    for address in ["127.0.0.9:1", "[::1]:0", "localhost:80"] {
        load("", &[], &[("listen", address)]).expect(address);
    }
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    assert!(refused("listen = \"127.0.0.1:3002\"").contains("give them two ports"));
    load("listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"", &[], &[]).expect("two free ports");
    assert!(refused("sandbox.uid_base = 4294967293").contains("passes the highest uid"));
    assert!(refused("tls.cert = \"x\"").contains("go together"));
    assert!(refused("tls.key = \"x\"").contains("go together"));
    let both = "tls.cert = \"x\"\ntls.key = \"y\"\ntls.self_signed = [\"z\"]";
    assert!(refused(both).contains("either from `tls.cert` or from `tls.self_signed`"));
    let (config, _) = load("tls.self_signed = [\"z\"]", &[], &[]).expect("loads");
    assert_eq!(config.tls, Some(Certificate::SelfSigned { names: vec!["z".to_owned()] }));
    let alone = refused("limits.scaling_burst = 7");
    assert!(alone.contains("choose a model with limits.scaling"), "{alone}");
    let error = refused("sandbox.uid_count = 100");
    assert!(error.contains("need 1029 uids"), "{error}");
}

#[test]
fn scheduler_limits_take_the_smaller_of_configured_and_possible_environments() {
    let (config, _) =
        load("limits.memory_capacity_mb = 2048\nlimits.idle_timeout_s = 7", &[], &[]).expect("loads");
    let limits = config.scheduler_limits(100);
    assert_eq!((limits.environments_max, limits.memory_capacity_mb), (100, 2_048));
    assert_eq!(limits.idle_timeout.as_secs(), 7);
    assert_eq!(config.scheduler_limits(u64::MAX).environments_max, 1_024);
    let (measuring, _) = Config::load(None, &[], &[]).expect("loads");
    assert!(measuring.scheduler_limits(1).memory_capacity_mb > 128);
}

#[test]
fn the_sample_file_is_the_one_that_is_shipped_and_changes_nothing() {
    let shipped = include_str!("../../deploy/hearth.toml");
    if shipped != render_sample() {
        println!("{}", render_sample());
        panic!("deploy/hearth.toml differs from the table of keys: replace it by what is printed above");
    }
    let (defaults, _) = Config::load(None, &[], &[]).expect("loads");
    assert_eq!(load(shipped, &[], &[]).expect("loads").0, defaults);
}

#[test]
fn the_samples_commented_values_are_the_defaults_and_loadable() {
    let bare = |line: &&str| line.starts_with('[') || (line.starts_with('#') && !line.starts_with("# "));
    let sample = render_sample();
    let lines = sample.lines().filter(bare).map(|line| line.trim_start_matches('#'));
    let text = lines.collect::<Vec<_>>().join("\n");
    let (config, origins) = load(&text, &[], &[]).expect("loads");
    let defaults = Config::load(None, &[], &[]).expect("loads").0;
    assert_eq!((config.limits.overcommit, config.logs), (defaults.limits.overcommit, defaults.logs));
    assert_eq!((config.sandbox, config.listen), (defaults.sandbox, defaults.listen));
    let from_file =
        origins.settings.values().filter(|(_, origin)| matches!(origin, Origin::File { .. })).count();
    assert_eq!(from_file, KEYS.len(), "the sample shows every key");
}

#[test]
fn what_is_in_force_prints_as_toml_that_loads_to_the_same() {
    let file = "region = \"eu-west-1\"\nallowed_hosts = [\"a\\\"b\"]\n[runtimes.\"python3.12\"]\ninterpreter = \"/x\"\n";
    let (config, origins) = load(file, &[("HEARTH_USER", "lambda")], &[]).expect("loads");
    let printed = origins.render(true);
    assert!(printed.contains("region = \"eu-west-1\"  # hearth.toml:1\n"), "{printed}");
    assert!(printed.contains("user = \"lambda\"  # environment HEARTH_USER\n"), "{printed}");
    assert!(printed.contains("runtimes.\"python3.12\".interpreter = \"/x\"  # hearth.toml:4\n"), "{printed}");
    assert!(
        printed.contains("# limits.memory_capacity_mb is not set: the memory of this machine\n"),
        "{printed}"
    );
    assert_eq!(load(&printed, &[], &[]).expect("loads").0, config);
    assert_eq!(load(&origins.render(false), &[], &[]).expect("loads").0, config);
}

#[test]
fn the_reference_has_a_row_for_every_key() {
    let reference = render_reference();
    assert_eq!(reference.lines().count(), KEYS.len() + 2);
    let row = "| `limits.overcommit` | `8` | `HEARTH_LIMITS__OVERCOMMIT` | How many times that memory may be promised: \
               few functions use all that they may. (times; 1 to 1000) |";
    assert!(reference.contains(row), "{reference}");
}
