//! The keys that requests may be signed with, and what each may do: `keys.toml` and the policy documents it names.
//!
//! Read before privileges are given up, and again on request if the daemon's own user may read them. What is not
//! understood is refused as a whole, because a key with half of its policy may do what nobody meant. Deliberately not
//! here: signatures, requests, and the keys that environments get (`credentials.rs`).

use hearth_api::arn::Home;
use hearth_logic::policy::{Document, PolicyError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes of `keys.toml`.
const FILE_MAX: u64 = 4 << 20;
/// Bytes of a policy document.
const POLICY_MAX: u64 = 64 << 10;
/// Keys in one file.
const KEYS_MAX: usize = 10_000;
/// Condition keys that requests here have, in lower case.
pub(crate) const CONTEXT_KEYS: [&str; 9] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:requestedregion",
    "aws:securetransport",
    "aws:sourceip",
    "aws:useragent",
    "aws:username",
    "iam:passedtoservice",
    "lambda:functionarn",
];

/// The keys in force. Clones are the same ring.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    path: PathBuf,
    home: Home,
    now: Arc<RwLock<Arc<Keyring>>>,
}

impl Ring {
    /// Reads the file.
    pub(crate) fn open(path: &Path, home: Home) -> Result<Self, KeyringError> {
        let now = Arc::new(RwLock::new(Arc::new(Keyring::load(path, &home)?)));
        Ok(Self { path: path.to_owned(), home, now })
    }

    /// The file.
    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the daemon stands.
    pub(crate) const fn home(&self) -> &Home {
        &self.home
    }

    /// The keys of this moment.
    pub(crate) fn now(&self) -> Arc<Keyring> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again; the old keys stay if it cannot be used. Gives the number of keys.
    pub(crate) fn reload(&self) -> Result<usize, KeyringError> {
        let ring = Arc::new(Keyring::load(&self.path, &self.home)?);
        let count = ring.len();
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(count)
    }
}

/// All keys and the policies of roles.
#[derive(Debug)]
pub(crate) struct Keyring {
    keys: BTreeMap<String, Arc<Key>>,
    roles: BTreeMap<String, Arc<Document>>,
    usual_role: Arc<Document>,
}

/// One key.
pub(crate) struct Key {
    /// Secret half.
    pub(crate) secret: String,
    /// Who signs with it.
    pub(crate) holder: Holder,
}

/// Who signs with a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// An identity of this account.
    Identity {
        /// Its ARN.
        arn: String,
        /// What it may do.
        policy: Arc<Document>,
    },
    /// A service, by its principal, such as `s3.amazonaws.com`. It may do what a resource's policy lets it do.
    Service(String),
}

// A secret must not end up in a log.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.holder {
            Holder::Identity { arn: name, .. } | Holder::Service(name) => write!(f, "Key({name})"),
        }
    }
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    /// The system does not give it.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others could read or change it.
    #[error(
        "{} has the mode {mode:o} and the owner {owner}: a file of secrets belongs to root or to the daemon's user, its group \
         may read it, and nobody else may do anything (chmod 600)", .path.display()
    )]
    Open {
        /// File.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// Its owner.
        owner: u32,
    },
    /// It is too large.
    #[error("{} has more than {most} bytes", .path.display())]
    Large {
        /// File.
        path: PathBuf,
        /// How many it may have.
        most: u64,
    },
    /// It is not TOML of this form.
    #[error("{}: {source}", .path.display())]
    Form {
        /// File.
        path: PathBuf,
        /// What is wrong, with the place.
        source: Box<toml::de::Error>,
    },
    /// An entry makes no sense.
    #[error("{}: {entry}: {detail}", .path.display())]
    Entry {
        /// File.
        path: PathBuf,
        /// Which key or role.
        entry: String,
        /// What is wrong.
        detail: String,
    },
    /// A policy document cannot be understood.
    #[error("{}: {detail}", .path.display())]
    Policy {
        /// File.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    key: Vec<Entry>,
    #[serde(default)]
    roles: BTreeMap<String, Role>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    secret: String,
    arn: Option<String>,
    policy: Option<PathBuf>,
    service: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    policy: PathBuf,
}

impl Keyring {
    /// Reads `keys.toml` and the documents it names, relative to its own folder.
    pub(crate) fn load(path: &Path, home: &Home) -> Result<Self, KeyringError> {
        let text = read(path, FILE_MAX, 0o027)?;
        let content: Content = toml::from_str(&text)
            .map_err(|source| KeyringError::Form { path: path.to_owned(), source: Box::new(source) })?;
        let wrong = |entry: &str, detail: &str| KeyringError::Entry {
            path: path.to_owned(),
            entry: entry.to_owned(),
            detail: detail.to_owned(),
        };
        if content.key.len() > KEYS_MAX {
            return Err(wrong("key", &format!("there are more than {KEYS_MAX}")));
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut documents = BTreeMap::new();
        let mut document = |name: &Path| -> Result<Arc<Document>, KeyringError> {
            let path = folder.join(name);
            if let Some(known) = documents.get(&path) {
                return Ok(Arc::clone(known));
            }
            let read = Arc::new(policy(&path)?);
            documents.insert(path, Arc::clone(&read));
            Ok(read)
        };
        let mut keys = BTreeMap::new();
        for Entry { id, secret, arn, policy, service } in content.key {
            check_id(&id).map_err(|detail| wrong(&id, &detail))?;
            let holder = match (arn, policy, service) {
                (Some(arn), Some(policy), None) => {
                    check_arn(&arn, home).map_err(|detail| wrong(&id, &detail))?;
                    Holder::Identity { arn, policy: document(&policy)? }
                }
                (None, None, Some(service)) => {
                    check_service(&service).map_err(|detail| wrong(&id, &detail))?;
                    Holder::Service(service)
                }
                _ => return Err(wrong(&id, "a key has an arn and a policy, or a service and neither")),
            };
            if secret.len() < 16 {
                return Err(wrong(
                    &id,
                    "the secret has less than 16 characters; `hearth keys new` makes better ones",
                ));
            }
            if keys.insert(id.clone(), Arc::new(Key { secret, holder })).is_some() {
                return Err(wrong(&id, "it is there twice"));
            }
        }
        let mut roles = BTreeMap::new();
        for (arn, Role { policy }) in content.roles {
            if !matches!(arn.splitn(6, ':').collect::<Vec<_>>().as_slice(), ["arn", _, "iam", "", _, role] if role.starts_with("role/"))
            {
                return Err(wrong(&arn, "it is not the ARN of a role"));
            }
            roles.insert(arn, document(&policy)?);
        }
        let usual_role = usual_role(home).map_err(|error| wrong("roles", &error.to_string()))?;
        Ok(Self { keys, roles, usual_role: Arc::new(usual_role) })
    }

    /// The key with this public half.
    pub(crate) fn key(&self, id: &str) -> Option<Arc<Key>> {
        self.keys.get(id).cloned()
    }

    /// What functions with a role may do: what the file says, else invoke the functions of this account.
    pub(crate) fn role(&self, arn: &str) -> Arc<Document> {
        Arc::clone(self.roles.get(arn).unwrap_or(&self.usual_role))
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

/// What a role may do that no entry speaks of.
fn usual_role(home: &Home) -> Result<Document, PolicyError> {
    let Home { partition, region, account } = home;
    let resource = format!("arn:{partition}:lambda:{region}:{account}:function:*");
    let text = serde_json::json!({
        "Statement": { "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": resource }
    });
    let document: Result<Document, _> = serde_json::from_value(text);
    document.map_err(|_| PolicyError::Empty)?.into_identity_policy(&CONTEXT_KEYS)
}

/// The text of a file none of whose mode's `forbidden` bits is set and that nobody but root and this process owns.
fn read(path: &Path, most: u64, forbidden: u32) -> Result<String, KeyringError> {
    let failed = |source| KeyringError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    let own = nix::unistd::geteuid().as_raw();
    if facts.mode() & forbidden != 0 || ![0, own].contains(&facts.uid()) {
        let (mode, owner) = (facts.mode() & 0o7777, facts.uid());
        return Err(KeyringError::Open { path: path.to_owned(), mode, owner });
    }
    let mut text = String::new();
    file.take(most + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > most {
        return Err(KeyringError::Large { path: path.to_owned(), most });
    }
    Ok(text)
}

/// A policy document is no secret, but who can change it can do anything.
fn policy(path: &Path) -> Result<Document, KeyringError> {
    let text = read(path, POLICY_MAX, 0o022)?;
    let wrong = |detail: String| KeyringError::Policy { path: path.to_owned(), detail };
    let document: Document = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    document.into_identity_policy(&CONTEXT_KEYS).map_err(|error| wrong(error.to_string()))
}

fn check_id(id: &str) -> Result<(), String> {
    let has_form =
        (16..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match (has_form, id.starts_with("ASIA")) {
        (false, _) => Err("an id has 16 to 128 letters, digits and underscores".to_owned()),
        (true, true) => Err("ids that begin with ASIA are those of temporary keys".to_owned()),
        (true, false) => Ok(()),
    }
}

/// The principal of a service as policies name it.
fn check_service(service: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let labels: Vec<&str> = service.split('.').collect();
    match labels.len() > 1 && labels.iter().all(|label| !label.is_empty() && label.bytes().all(fits)) {
        true => Ok(()),
        false => Err(format!("{service:?} is not the principal of a service, like s3.amazonaws.com")),
    }
}

/// An identity of this account: without policies that let others in, one of another account could do nothing.
fn check_arn(arn: &str, home: &Home) -> Result<(), String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "iam" | "sts", "", account, name] = parts.as_slice() else {
        return Err(format!(
            "{arn:?} is not the ARN of an identity, like arn:aws:iam::{}:user/NAME",
            home.account
        ));
    };
    if *account != home.account {
        return Err(format!("its ARN is of the account {account}, but this is {}", home.account));
    }
    let named = |kind: &str| name.strip_prefix(kind).is_some_and(|name| !name.is_empty());
    match *name == "root" || ["user/", "role/", "assumed-role/", "federated-user/"].into_iter().any(named) {
        true => Ok(()),
        false => Err(format!("{arn:?} is neither a user nor a role")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_logic::policy::{Decision, Principal, Request};
    use std::os::unix::fs::PermissionsExt as _;

    const ALLOW: &str =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:*","Resource":"*"}}"#;
    const ROLE: &str = "arn:aws:iam::000000000000:role/r";

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hearth-keyring-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("makes a directory");
            Self(path)
        }

        fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).expect("writes");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("sets a mode");
            path
        }

        fn load(&self, text: &str) -> Result<Keyring, String> {
            let path = self.write("keys.toml", text, 0o600);
            Keyring::load(&path, &home()).map_err(|error| error.to_string())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    fn home() -> Home {
        Home::new("us-east-1", "000000000000")
    }

    fn entry(id: &str, secret: &str, arn: &str) -> String {
        format!("[[key]]\nid = {id:?}\nsecret = {secret:?}\narn = {arn:?}\npolicy = \"allow.json\"\n")
    }

    const ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const USER: &str = "arn:aws:iam::000000000000:user/ci";

    #[test]
    fn keys_and_roles_are_read_with_their_policies() {
        let folder = Folder::new("read");
        folder.write("allow.json", ALLOW, 0o644);
        let text = format!("{}[roles.\"{ROLE}\"]\npolicy = \"allow.json\"\n", entry(ID, SECRET, USER));
        let ring = folder.load(&text).expect("is a keyring");
        let key = ring.key(ID).expect("is there");
        assert_eq!((key.secret.as_str(), ring.len()), (SECRET, 1));
        assert!(ring.key("AKIAOTHEROTHEROTHER").is_none());
        assert!(key.holder == Holder::Identity { arn: USER.to_owned(), policy: ring.role(ROLE) });
        assert!(!format!("{ring:?}").contains(SECRET), "a secret is never printed");
    }

    #[test]
    fn a_key_may_be_a_services() {
        let text = format!("[[key]]\nid = {ID:?}\nsecret = {SECRET:?}\nservice = \"s3.amazonaws.com\"\n");
        let ring = Folder::new("service").load(&text).expect("is a keyring");
        assert!(ring.key(ID).expect("is there").holder == Holder::Service("s3.amazonaws.com".to_owned()));
    }

    #[test]
    fn a_role_without_an_entry_may_invoke_functions_of_this_account() {
        let ring = Folder::new("role").load("").expect("is empty, and a keyring");
        let policy = ring.role(ROLE);
        let decide = |action, resource| {
            let context = |_: &str| None;
            policy.decide(&Request { principal: Principal::Anonymous, action, resource, context: &context })
        };
        let own = "arn:aws:lambda:us-east-1:000000000000:function:f:live";
        assert_eq!(decide("lambda:InvokeFunction", own), Decision::Allowed);
        assert_eq!(decide("lambda:DeleteFunction", own), Decision::Unmentioned);
        let other = "arn:aws:lambda:us-east-1:111111111111:function:f";
        assert_eq!(decide("lambda:InvokeFunction", other), Decision::Unmentioned);
    }

    #[test]
    fn files_that_others_can_read_or_change_are_refused() {
        let folder = Folder::new("mode");
        folder.write("allow.json", ALLOW, 0o644);
        for mode in [0o604, 0o620, 0o601, 0o666] {
            let path = folder.write("keys.toml", &entry(ID, SECRET, USER), mode);
            let error = Keyring::load(&path, &home()).expect_err("is refused").to_string();
            assert!(error.contains(&format!("has the mode {mode:o}")), "{error}");
        }
        let path = folder.write("keys.toml", &entry(ID, SECRET, USER), 0o640);
        Keyring::load(&path, &home()).expect("its group may read it");
        folder.write("allow.json", ALLOW, 0o664);
        assert!(Keyring::load(&path, &home()).is_err(), "its group must not change a policy");
    }

    #[test]
    fn what_is_not_understood_names_file_entry_and_reason() {
        let folder = Folder::new("wrong");
        folder.write("allow.json", ALLOW, 0o644);
        let cases = [
            (entry("short", SECRET, USER), "short: an id has 16 to 128"),
            (entry("ASIAIOSFODNN7EXAMPLE", SECRET, USER), "temporary keys"),
            (entry(ID, "short", USER), "less than 16 characters"),
            (entry(ID, SECRET, "ci"), "is not the ARN of an identity"),
            (entry(ID, SECRET, "arn:aws:iam::111111111111:user/ci"), "of the account 111111111111"),
            (entry(ID, SECRET, "arn:aws:iam::000000000000:policy/ci"), "neither a user nor a role"),
            (entry(ID, SECRET, USER).repeat(2), "it is there twice"),
            (entry(ID, SECRET, USER).replace("allow", "absent"), "absent.json: No such file"),
            (format!("{}extra = 1\n", entry(ID, SECRET, USER)), "unknown field `extra`"),
            (
                format!("{}service = \"s3.amazonaws.com\"\n", entry(ID, SECRET, USER)),
                "or a service and neither",
            ),
            (format!("[[key]]\nid = {ID:?}\nsecret = {SECRET:?}\narn = {USER:?}\n"), "an arn and a policy"),
            (
                format!("[[key]]\nid = {ID:?}\nsecret = {SECRET:?}\nservice = \"s3\"\n"),
                "not the principal of a service",
            ),
            ("[roles.r]\npolicy = \"allow.json\"\n".to_owned(), "not the ARN of a role"),
        ];
        for (text, words) in cases {
            let error = folder.load(&text).expect_err(words);
            assert!(error.contains(words) && error.contains("hearth-keyring"), "{error}");
        }
        folder.write("allow.json", &ALLOW.replace("Allow", "allow"), 0o644);
        let error = folder.load(&entry(ID, SECRET, USER)).expect_err("no policy");
        assert!(error.contains("allow.json: statement 1: Effect"), "{error}");
    }
}
