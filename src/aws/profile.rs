//! One profile of the shared `credentials` and `config` files, as the AWS tools write them.
//!
//! Reads what is needed to find credentials: keys, and a role with a token file. Profiles that ask another program or
//! a browser are named as such, so that the operator reads why they are of no use to a daemon.

use std::collections::BTreeMap;

/// The settings of one profile; those of `credentials` win.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Profile(BTreeMap<String, String>);

impl Profile {
    /// Reads a profile out of both files; none if neither has it.
    pub(super) fn read(name: &str, credentials: &str, config: &str) -> Option<Self> {
        let own = section(credentials, |title| title == name);
        let general = section(config, |title| {
            // In `config` every profile but the default one is called `profile NAME`.
            let bare = title.strip_prefix("profile").map(str::trim_start);
            if name == "default" { title == name || bare == Some(name) } else { bare == Some(name) }
        });
        if own.is_none() && general.is_none() {
            return None;
        }
        let mut settings = general.unwrap_or_default();
        settings.extend(own.unwrap_or_default());
        Some(Self(settings))
    }

    /// A setting that is not empty.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The setting by which this profile gets credentials in a way that is not supported here.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        let ways = [
            "credential_process",
            "sso_session",
            "sso_start_url",
            "login_session",
            "source_profile",
            "credential_source",
        ];
        ways.into_iter().find(|name| self.setting(name).is_some())
    }
}

fn section(text: &str, is_wanted: impl Fn(&str) -> bool) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = is_wanted(title.trim());
            if inside {
                found.get_or_insert_default();
            }
            continue;
        }
        // Indented lines belong to a setting with parts, none of which is read here.
        if !inside || line.starts_with([' ', '\t']) {
            continue;
        }
        if let (Some((name, value)), Some(settings)) = (trimmed.split_once('='), found.as_mut()) {
            settings.insert(name.trim().to_ascii_lowercase(), uncommented(value).to_owned());
        }
    }
    found
}

/// A value without a comment behind it; a `#` within a value, as in a key, is part of it.
fn uncommented(value: &str) -> &str {
    let cut = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| value.find(mark)).min();
    value[..cut.unwrap_or(value.len())].trim()
}

#[cfg(test)]
mod tests {
    use super::Profile;

    const CREDENTIALS: &str = "# keys\n[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key=a/b+c#d # note\n\n[ci]\nAWS_ACCESS_KEY_ID=AKCI\n";
    const CONFIG: &str = "[default]\nregion=eu-west-1\naws_access_key_id=AKCONFIG\n[profile ci]\naws_secret_access_key = s\ns3 =\n  addressing_style = path\n[profile web]\nrole_arn = arn:x\nweb_identity_token_file = /t\n[profile other]\ncredential_process = /bin/x\n[ci2]\nregion = x\n";

    fn of(name: &str) -> Option<Profile> {
        Profile::read(name, CREDENTIALS, CONFIG)
    }

    #[test]
    fn both_files_make_a_profile_and_credentials_wins() {
        let default = of("default").expect("there");
        assert_eq!(default.setting("aws_access_key_id"), Some("AKDEFAULT"));
        assert_eq!(default.setting("aws_secret_access_key"), Some("a/b+c#d"));
        assert_eq!(default.setting("region"), Some("eu-west-1"));
        let ci = of("ci").expect("there");
        assert_eq!(
            (ci.setting("aws_access_key_id"), ci.setting("aws_secret_access_key")),
            (Some("AKCI"), Some("s"))
        );
        assert_eq!(ci.setting("addressing_style"), None);
        assert_eq!(ci.foreign(), None);
    }

    #[test]
    fn a_section_of_config_without_the_word_profile_is_no_profile() {
        assert_eq!(of("ci2"), None);
        assert_eq!(of("nobody"), None);
    }

    #[test]
    fn ways_that_a_daemon_cannot_go_are_named() {
        assert_eq!(of("other").expect("there").foreign(), Some("credential_process"));
        assert_eq!(of("web").expect("there").foreign(), None);
    }
}
