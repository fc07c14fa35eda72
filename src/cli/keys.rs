//! `hearth keys new`: makes a key, writes it into the file that the daemon reads, and prints what a client needs of it.
//!
//! Works on the file alone, so that the first key exists before a daemon does; the daemon checks what is in it. A policy
//! that allows everything is written only if the user names none.

use super::args::KeysNew;
use super::failure::Failure;
use super::terminal;
use hearth_api::primitives::encode_base64;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The policy of a key for which none is named.
const USUAL_POLICY: &str = "admin.json";
const EVERYTHING: &str = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    { \"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\" }\n  ]\n}\n";
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Runs the verb.
pub(super) fn new(args: &KeysNew) -> Result<(), Failure> {
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |path: &Path, error: &io::Error| {
        Failure::because(format!("cannot write {}: {error}", path.display()))
    };
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(|error| failed(folder, &error))?;
    let policy = match (&args.service, &args.policy) {
        (Some(_), _) => None,
        (None, Some(policy)) => {
            let path = folder.join(policy);
            fs::metadata(&path).map_err(|error| {
                Failure::because(format!("cannot read the policy {}: {error}", path.display()))
            })?;
            Some(policy.display().to_string())
        }
        (None, None) => {
            let path = folder.join(USUAL_POLICY);
            write_policy(&path).map_err(|error| failed(&path, &error))?;
            Some(USUAL_POLICY.to_owned())
        }
    };
    let (id, secret) = (format!("AKIA{}", letters(16)?), encode_base64(&random::<30>()?));
    let holder =
        [("arn", args.arn.as_ref()), ("policy", policy.as_ref()), ("service", args.service.as_ref())];
    let mut entry = format!("\n[[key]]\nid = {id:?}\nsecret = {secret:?}\n");
    for (member, value) in holder {
        if let Some(value) = value {
            entry.push_str(&format!("{member} = {value:?}\n"));
        }
    }
    append(&args.file, &entry).map_err(|error| failed(&args.file, &error))?;
    terminal::say(&format!(
        "hearth: added to {}; a running daemon reads it when it starts, or at SIGHUP if its own user may",
        args.file.display()
    ));
    terminal::print(format!("export AWS_ACCESS_KEY_ID={id}\nexport AWS_SECRET_ACCESS_KEY={secret}\n"))
}

/// One that is there already stays as it is.
fn write_policy(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Ok(mut file) => file.write_all(EVERYTHING.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn append(path: &Path, entry: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    // At once, so that two that are added at a time do not mix.
    file.write_all(entry.as_bytes())?;
    file.sync_all()
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Failure::because(format!("the system gives no randomness: {error}"))),
    }
}

fn letters(count: usize) -> Result<String, Failure> {
    let bytes = random::<32>()?;
    Ok(bytes.iter().take(count).map(|byte| char::from(ID_ALPHABET[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_added_to_a_file_that_nobody_else_reads() {
        let folder = std::env::temp_dir().join(format!("hearth-keys-{}", std::process::id()));
        let file = folder.join("deep/keys.toml");
        let args = |policy: Option<&str>| KeysNew {
            arn: Some("arn:aws:iam::000000000000:user/ci".to_owned()),
            service: None,
            policy: policy.map(Into::into),
            file: file.clone(),
        };
        new(&args(None)).expect("is added");
        new(&args(Some("admin.json"))).expect("is added");
        assert!(new(&args(Some("absent.json"))).is_err(), "a policy that is named must be there");
        let mode = fs::metadata(&file).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let value: toml::Value = toml::from_str(&fs::read_to_string(&file).expect("reads")).expect("is TOML");
        let keys = value["key"].as_array().expect("is a list");
        assert_eq!(keys.len(), 2);
        let text = |key: &toml::Value, name: &str| key[name].as_str().expect("is text").to_owned();
        assert_ne!(text(&keys[0], "id"), text(&keys[1], "id"));
        assert_eq!((text(&keys[0], "id").len(), text(&keys[0], "secret").len()), (20, 40));
        assert_eq!(text(&keys[1], "policy"), "admin.json");
        assert!(folder.join("deep/admin.json").is_file());
        let service = Some("s3.amazonaws.com".to_owned());
        new(&KeysNew { arn: None, service, ..args(None) }).expect("is added");
        let value: toml::Value = toml::from_str(&fs::read_to_string(&file).expect("reads")).expect("is TOML");
        let added = value["key"][2].as_table().expect("is a table");
        assert_eq!(added["service"].as_str(), Some("s3.amazonaws.com"));
        assert!(!added.contains_key("arn") && !added.contains_key("policy"));
        fs::remove_dir_all(folder).expect("cleans up");
    }
}
