//! Finds the interpreters of this host, well beyond PATH: version managers put shims there, the real ones elsewhere.
//!
//! Every candidate is run once and asked for its version and real place (`probe`). Runs before privileges drop, so only
//! files are run that belong to root or the caller and that nobody else may write; of the folders that lead to them that is
//! not asked. Where version managers keep things is theirs to say, by their variables; else it is below the home directory,
//! which a service has, too, though nobody tells it.

use super::probe::{self, Candidate};
use super::{Interpreter, Language};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Candidates looked at per language, at most.
const CANDIDATES_MAX: usize = 64;

/// A version manager's interpreters of one language (one `*` stands for any name).
struct Manager {
    /// The variable that names its folder.
    variable: &'static str,
    /// The folder below the home directory, without it.
    at_home: &'static str,
    /// Below its folder.
    pattern: &'static str,
    language: Language,
}

const fn manager(
    variable: &'static str,
    at_home: &'static str,
    pattern: &'static str,
    language: Language,
) -> Manager {
    Manager { variable, at_home, pattern, language }
}

const MANAGERS: [Manager; 9] = [
    manager("PYENV_ROOT", ".pyenv", "versions/*/bin/python3", Language::Python),
    manager("ASDF_DATA_DIR", ".asdf", "installs/python/*/bin/python3", Language::Python),
    manager("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", "*/bin/python3", Language::Python),
    manager("MISE_DATA_DIR", ".local/share/mise", "installs/python/*/bin/python3", Language::Python),
    manager("NVM_DIR", ".nvm", "versions/node/*/bin/node", Language::Node),
    manager("ASDF_DATA_DIR", ".asdf", "installs/nodejs/*/bin/node", Language::Node),
    manager("MISE_DATA_DIR", ".local/share/mise", "installs/node/*/bin/node", Language::Node),
    manager("FNM_DIR", ".local/share/fnm", "node-versions/*/installation/bin/node", Language::Node),
    manager("VOLTA_HOME", ".volta", "tools/image/node/*/bin/node", Language::Node),
];
/// Beside a folder `shims` on PATH, whose programs only look up others.
const BESIDE_SHIMS: [(&str, Language); 5] = [
    ("versions/*/bin/python3", Language::Python),
    ("installs/python/*/bin/python3", Language::Python),
    ("versions/*/bin/node", Language::Node),
    ("installs/nodejs/*/bin/node", Language::Node),
    ("installs/node/*/bin/node", Language::Node),
];
const SYSTEM_PATTERNS: [(&str, Language); 8] = [
    ("/opt/*/bin/python3", Language::Python),
    ("/usr/local/bin/python3", Language::Python),
    ("/usr/bin/python3", Language::Python),
    ("/opt/*/bin/node", Language::Node),
    ("/usr/local/bin/node", Language::Node),
    ("/usr/local/n/versions/node/*/bin/node", Language::Node),
    ("/usr/bin/node", Language::Node),
    ("/usr/bin/nodejs", Language::Node),
];

/// Where an environment says that interpreters are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    path: String,
    home: Option<PathBuf>,
    /// Folders of [`MANAGERS`], in their order.
    roots: Vec<Option<PathBuf>>,
}

impl Places {
    /// Of this process, by its environment.
    pub(crate) fn of_this_process() -> Self {
        Self::of(|name| std::env::var_os(name), own_home)
    }

    /// By these variables; `home` is asked where they name none.
    fn of(variable: impl Fn(&str) -> Option<OsString>, home: impl FnOnce() -> Option<PathBuf>) -> Self {
        // A relative folder would depend on where the daemon was started.
        let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            path: variable("PATH").and_then(|path| path.into_string().ok()).unwrap_or_default(),
            home: folder("HOME").or_else(home),
            roots: MANAGERS.iter().map(|manager| folder(manager.variable)).collect(),
        }
    }
}

/// The home directory of the user that this process is, by the user database: services are told none.
fn own_home() -> Option<PathBuf> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??;
    Some(user.dir).filter(|path| path.is_absolute())
}

/// All interpreters found, best first: what PATH names, then version managers, then the system's.
pub(crate) fn find(places: &Places) -> Vec<Interpreter> {
    let mut found: Vec<Interpreter> = Vec::new();
    let mut seen = BTreeSet::new();
    for language in [Language::Python, Language::Node] {
        for name in candidates(places, language).into_iter().take(CANDIDATES_MAX) {
            let Ok(real) = name.canonicalize() else { continue };
            if !seen.insert(real.clone()) || !is_trusted(&real) {
                continue;
            }
            let interpreter = match probe::ask(&Candidate { real, name }, language) {
                Ok(interpreter) => interpreter,
                Err(error) => {
                    if error.is_worth_telling() {
                        tracing::warn!(%error, "a program that was taken for an interpreter is left out");
                    }
                    continue;
                }
            };
            if !found.iter().any(|old| (old.language, old.version) == (language, interpreter.version)) {
                found.push(interpreter);
            }
        }
    }
    found
}

fn candidates(places: &Places, language: Language) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let names: Vec<String> = match language {
        Language::Python => {
            let versions = (9..=14).rev().map(|minor| format!("python3.{minor}"));
            std::iter::once("python3".to_owned()).chain(versions).collect()
        }
        Language::Node => vec!["node".to_owned(), "nodejs".to_owned()],
    };
    for dir in places.path.split(':').filter(|dir| dir.starts_with('/')).map(Path::new) {
        match dir.parent().filter(|_| dir.ends_with("shims")) {
            Some(manager) => {
                let patterns = BESIDE_SHIMS.iter().filter(|(_, of)| *of == language);
                all.extend(patterns.flat_map(|(pattern, _)| expand(&manager.join(pattern))));
            }
            None => all.extend(names.iter().map(|name| dir.join(name)).filter(|path| path.is_file())),
        }
    }
    let managers = || MANAGERS.iter().zip(&places.roots).filter(|(manager, _)| manager.language == language);
    for (manager, root) in managers() {
        all.extend(root.iter().flat_map(|root| expand(&root.join(manager.pattern))));
    }
    for (manager, _) in managers() {
        let folder = places.home.iter().map(|home| home.join(manager.at_home));
        all.extend(folder.flat_map(|folder| expand(&folder.join(manager.pattern))));
    }
    for (pattern, _) in SYSTEM_PATTERNS.iter().filter(|(_, of)| *of == language) {
        all.extend(expand(Path::new(pattern)));
    }
    all
}

/// Replaces the one `*` of a pattern by every directory there; newest names first.
/// Digits that numbers are compared by.
const NUMBER_LENGTH: usize = 10;

fn expand(pattern: &Path) -> Vec<PathBuf> {
    let text = pattern.to_string_lossy();
    let Some((before, after)) = text.split_once("/*/") else {
        return if pattern.is_file() { vec![pattern.to_owned()] } else { Vec::new() };
    };
    let Ok(entries) = std::fs::read_dir(before) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path().join(after)).collect();
    paths.retain(|path| path.is_file());
    // The newest first, as versions go: 3.12.10 is newer than 3.12.9.
    paths.sort_by_cached_key(|path| std::cmp::Reverse(by_number(path)));
    paths
}

/// A text whose order is that of the numbers in the path.
fn by_number(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut key = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        key.push_str(&"0".repeat(NUMBER_LENGTH.saturating_sub(digits.len())));
        key.push_str(part);
    }
    key
}

/// Root is about to run it: nobody else may be able to write it.
fn is_trusted(real: &Path) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    let Ok(data) = real.metadata() else { return false };
    (data.uid() == 0 || data.uid() == own) && data.mode() & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_a_star_is_the_file_itself() {
        assert_eq!(expand(Path::new("/bin/sh")), [PathBuf::from("/bin/sh")]);
        assert!(expand(Path::new("/nonexistent/*/bin/x")).is_empty());
    }

    #[test]
    fn the_newest_version_comes_first_as_versions_go() {
        let mut names = ["v/3.12.9/bin", "v/3.9.1/bin", "v/3.12.10/bin"];
        names.sort_by_cached_key(|name| std::cmp::Reverse(by_number(Path::new(name))));
        assert_eq!(names, ["v/3.12.10/bin", "v/3.12.9/bin", "v/3.9.1/bin"]);
    }

    /// A folder with empty files where interpreters would be; goes with the value.
    struct Tree(PathBuf);

    impl Tree {
        fn of(name: &str, files: &[&str]) -> Self {
            let root = std::env::temp_dir().join(format!("hearth-discover-{name}-{}", std::process::id()));
            for file in files {
                let file = root.join(file);
                std::fs::create_dir_all(file.parent().expect("has one")).expect("makes");
                std::fs::write(file, "").expect("writes");
            }
            Self(root)
        }

        /// What is found of this language here, below the tree.
        fn found(&self, places: &Places, language: Language) -> Vec<String> {
            let all = candidates(places, language);
            let inside = all.iter().filter_map(|path| path.strip_prefix(&self.0).ok());
            inside.map(|path| path.display().to_string()).collect()
        }

        fn places(&self, variables: &[(&str, &str)], home: Option<&str>) -> Places {
            let absolute = |value: &str| value.replace('@', &self.0.display().to_string());
            let find = |name: &str| variables.iter().find(|(of, _)| *of == name);
            let value = |name: &str| find(name).map(|(_, value)| OsString::from(absolute(value)));
            Places::of(value, || home.map(|home| PathBuf::from(absolute(home))))
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn managers_say_by_their_variables_where_they_keep_things() {
        let files = [
            "py/versions/3.12.1/bin/python3",
            "nvm/versions/node/v22.0.0/bin/node",
            "asdf/installs/python/3.11.2/bin/python3",
            "asdf/installs/nodejs/20.1.0/bin/node",
        ];
        let tree = Tree::of("variables", &files);
        let variables = [("PYENV_ROOT", "@/py"), ("NVM_DIR", "@/nvm"), ("ASDF_DATA_DIR", "@/asdf")];
        let places = tree.places(&variables, None);
        assert_eq!(tree.found(&places, Language::Python), [files[0], files[2]]);
        assert_eq!(tree.found(&places, Language::Node), [files[1], files[3]]);
        let nowhere = tree.places(&[("PYENV_ROOT", "py"), ("NVM_DIR", "")], None);
        assert!(tree.found(&nowhere, Language::Python).is_empty(), "a relative folder is none");
    }

    #[test]
    fn shims_lead_to_what_they_stand_for_and_are_not_run() {
        let files = [
            "pyenv/versions/3.13.0/bin/python3",
            "mise/installs/node/24.0.0/bin/node",
            "pyenv/shims/python3",
            "mise/shims/node",
        ];
        let tree = Tree::of("shims", &files);
        let places = tree.places(&[("PATH", "@/pyenv/shims:@/mise/shims/:shims")], None);
        assert_eq!(tree.found(&places, Language::Python), [files[0]]);
        assert_eq!(tree.found(&places, Language::Node), [files[1]]);
    }

    #[test]
    fn without_home_the_users_own_directory_is_searched() {
        let file = ".pyenv/versions/3.10.4/bin/python3";
        let tree = Tree::of("home", &[&format!("service/{file}"), &format!("given/{file}")]);
        for (variables, expected) in
            [(&[][..], "service"), (&[("HOME", "")][..], "service"), (&[("HOME", "@/given")][..], "given")]
        {
            let places = tree.places(variables, Some("@/service"));
            assert_eq!(tree.found(&places, Language::Python), [format!("{expected}/{file}")]);
        }
        assert!(own_home().is_some(), "this user has one");
    }

    #[test]
    fn what_others_may_write_is_not_run() {
        use std::os::unix::fs::PermissionsExt as _;
        let tree = Tree::of("trust", &["python3"]);
        let file = tree.0.join("python3");
        for (mode, expected) in [(0o755, true), (0o775, false), (0o757, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("sets");
            assert_eq!(is_trusted(&file), expected, "{mode:o}");
        }
    }
}
