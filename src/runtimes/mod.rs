//! What runs *inside* a sandbox for each `Runtime` value: which interpreter, which client, which environment.
//!
//! `discover` finds the interpreters of this host, `probe` asks them what they are, `process` says how an environment's
//! runtime is started. It starts none itself.

pub(crate) mod discover;
pub(crate) mod image;
pub(crate) mod probe;
pub(crate) mod process;

use hearth_sandbox::RuntimeMount;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A language whose interpreter comes from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    /// CPython.
    Python,
    /// Node.js.
    Node,
}

/// How a `Runtime` value is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An interpreter of this language and version (python: minor of 3; node: major).
    Interpreted(Language, u32),
    /// The package brings its own `bootstrap`.
    Provided,
    /// The code is a root of its own, with everything in it.
    Image,
}

/// The `Runtime` values that this build serves, in the order in which they are listed to people.
const TABLE: [(&str, Kind); 12] = [
    ("provided.al2", Kind::Provided),
    ("provided.al2023", Kind::Provided),
    ("python3.9", Kind::Interpreted(Language::Python, 9)),
    ("python3.10", Kind::Interpreted(Language::Python, 10)),
    ("python3.11", Kind::Interpreted(Language::Python, 11)),
    ("python3.12", Kind::Interpreted(Language::Python, 12)),
    ("python3.13", Kind::Interpreted(Language::Python, 13)),
    ("python3.14", Kind::Interpreted(Language::Python, 14)),
    ("nodejs18.x", Kind::Interpreted(Language::Node, 18)),
    ("nodejs20.x", Kind::Interpreted(Language::Node, 20)),
    ("nodejs22.x", Kind::Interpreted(Language::Node, 22)),
    ("nodejs24.x", Kind::Interpreted(Language::Node, 24)),
];

const PYTHON_CLIENT: &[u8] = include_bytes!("python/bootstrap.py");
const NODE_CLIENT: &[u8] = include_bytes!("node/index.mjs");

/// An interpreter that was run once and told its version and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interpreter {
    /// The language.
    pub(crate) language: Language,
    /// python: minor of 3; node: major.
    pub(crate) version: u32,
    /// Host directory that is mounted at `/var/lang`.
    pub(crate) prefix: PathBuf,
    /// The program, relative to the prefix.
    pub(crate) program: String,
    /// Full version text, for people.
    pub(crate) release: String,
    /// The runtime client, compiled by this very interpreter.
    pub(crate) compiled_client: Option<Arc<[u8]>>,
}

/// What to do with a runtime whose interpreter this host does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Refuse functions that ask for it.
    Refuse,
    /// Use the nearest interpreter of the language.
    Substitute,
}

/// One `Runtime` value that functions may name.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// The interpreter; none for `provided`.
    pub(crate) interpreter: Option<Interpreter>,
    /// Set when the interpreter is not the one asked for: what is used instead.
    pub(crate) substitute: Option<String>,
    /// How it is served.
    pub(crate) kind: Kind,
}

impl Served {
    /// How functions are served that bring everything themselves.
    pub(crate) const fn image() -> Self {
        Self { interpreter: None, substitute: None, kind: Kind::Image }
    }
}

/// All runtimes of this daemon; fixed at its start.
#[derive(Clone, Debug)]
pub(crate) struct Runtimes {
    served: BTreeMap<&'static str, Served>,
}

impl Runtimes {
    /// Matches what the host has with the table.
    pub(crate) fn new(
        found: &[Interpreter],
        configured: &BTreeMap<String, Interpreter>,
        missing: Missing,
    ) -> Self {
        let mut served = BTreeMap::new();
        for (name, kind) in TABLE {
            let entry = match kind {
                Kind::Provided | Kind::Image => Some(Served { interpreter: None, substitute: None, kind }),
                Kind::Interpreted(language, version) => {
                    let exact = configured.get(name).or_else(|| {
                        found.iter().find(|found| found.language == language && found.version == version)
                    });
                    let nearest = || {
                        let fits = found.iter().filter(|found| found.language == language);
                        fits.min_by_key(|found| (found.version.abs_diff(version), found.version))
                    };
                    let (chosen, is_exact) = match (exact, missing) {
                        (Some(exact), _) => (Some(exact), true),
                        (None, Missing::Substitute) => (nearest(), false),
                        (None, Missing::Refuse) => (None, true),
                    };
                    chosen.map(|chosen| Served {
                        interpreter: Some(chosen.clone()),
                        substitute: (!is_exact).then(|| chosen.release.clone()),
                        kind,
                    })
                }
            };
            if let Some(entry) = entry {
                served.insert(name, entry);
            }
        }
        Self { served }
    }

    /// The runtime of this name, if functions may use it here.
    pub(crate) fn get(&self, name: &str) -> Option<&Served> {
        self.served.get(name)
    }

    /// Names that functions may use here, in table order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        TABLE.iter().map(|(name, _)| *name).filter(|name| self.served.contains_key(name)).collect()
    }

    /// Names of the table that this host cannot serve.
    pub(crate) fn absent(&self) -> Vec<&'static str> {
        TABLE.iter().map(|(name, _)| *name).filter(|name| !self.served.contains_key(name)).collect()
    }

    /// The forker's table.
    pub(crate) fn mounts(&self) -> Vec<RuntimeMount> {
        let mount = |(name, served): (&&'static str, &Served)| RuntimeMount {
            name: (*name).to_owned(),
            prefix: served.interpreter.as_ref().map(|found| found.prefix.display().to_string()),
            files: match served.kind {
                Kind::Provided | Kind::Image => Vec::new(),
                Kind::Interpreted(Language::Python, _) => {
                    let compiled =
                        served.interpreter.as_ref().and_then(|found| found.compiled_client.as_ref());
                    // The source stays beside it, for the lines of tracebacks.
                    let source = ("bootstrap.py".to_owned(), PYTHON_CLIENT.to_vec());
                    let compiled = compiled.map(|bytes| ("bootstrap.pyc".to_owned(), bytes.to_vec()));
                    std::iter::once(source).chain(compiled).collect()
                }
                Kind::Interpreted(Language::Node, _) => vec![("index.mjs".to_owned(), NODE_CLIENT.to_vec())],
            },
        };
        self.served.iter().map(mount).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(version: u32) -> Interpreter {
        Interpreter {
            language: Language::Python,
            version,
            prefix: format!("/opt/python3.{version}").into(),
            program: format!("bin/python3.{version}"),
            compiled_client: None,
            release: format!("Python 3.{version}.0"),
        }
    }

    #[test]
    fn a_missing_interpreter_is_refused_by_default() {
        let runtimes = Runtimes::new(&[python(11)], &BTreeMap::new(), Missing::Refuse);
        assert_eq!(runtimes.names(), ["provided.al2", "provided.al2023", "python3.11"]);
        assert!(runtimes.get("python3.12").is_none());
        assert!(runtimes.absent().contains(&"nodejs18.x"));
    }

    #[test]
    fn substitution_takes_the_nearest_of_the_same_language_and_says_so() {
        let runtimes = Runtimes::new(&[python(9), python(12)], &BTreeMap::new(), Missing::Substitute);
        let served = runtimes.get("python3.13").expect("substituted");
        assert_eq!(served.substitute.as_deref(), Some("Python 3.12.0"));
        assert!(runtimes.get("python3.12").expect("exact").substitute.is_none());
        assert!(runtimes.get("nodejs20.x").is_none());
    }

    #[test]
    fn a_configured_interpreter_wins_over_a_found_one() {
        let mut own = python(12);
        own.prefix = "/srv/python".into();
        let configured = BTreeMap::from([("python3.12".to_owned(), own)]);
        let runtimes = Runtimes::new(&[python(12)], &configured, Missing::Refuse);
        let prefix = &runtimes.get("python3.12").and_then(|s| s.interpreter.clone()).expect("there").prefix;
        assert_eq!(prefix, &PathBuf::from("/srv/python"));
    }
}
