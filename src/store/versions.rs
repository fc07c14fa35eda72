//! Published versions and aliases: their records, and the rules of a commit that concerns them.
//!
//! A version is a copy of `$LATEST` under a number that is never given twice, not even after the function was deleted
//! and made again; nothing of it but its state ever changes. An alias names one version, or two with a share, and a
//! version that an alias names cannot be deleted, so that an alias always leads somewhere. [`plan`] is the one place
//! where such a change meets what is stored, for every engine. Numbers, revisions and times are the caller's.

use super::catalog::{CommitError, StoreError};
use super::record::{FunctionRecord, State, UpdateStatus};
use std::fmt;

/// Last numbers of deleted functions that are remembered; beyond, the longest forgotten function starts at 1 again.
pub(super) const NUMBERS_KEPT_MAX: u64 = 100_000;

/// Which version of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Version {
    /// The unpublished state.
    Latest,
    /// A published version, from 1.
    Number(u64),
}

impl Version {
    /// Reads `$LATEST` or a number as the API writes it (no sign, no leading zero); none for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "$LATEST" {
            return Some(Self::Latest);
        }
        let number: u64 = text.parse().ok()?;
        (number > 0 && number.to_string() == text).then_some(Self::Number(number))
    }

    /// The number in the catalog: 0 is `$LATEST`.
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::Latest => 0,
            Self::Number(number) => number,
        }
    }

    pub(super) const fn from_number(number: u64) -> Self {
        if number == 0 { Self::Latest } else { Self::Number(number) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$LATEST"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// A published version.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Published {
    /// Code and settings under a number in `version`. Tags and reservation are the function's, filled in when read.
    pub(crate) record: FunctionRecord,
    /// The description that `$LATEST` had; the version's own may be another.
    pub(crate) source_description: String,
}

impl Published {
    /// `latest` under a number. Its revision, and its state while `latest` is being made, are given.
    pub(crate) fn of(
        latest: &FunctionRecord,
        number: u64,
        revision_id: String,
        description: Option<String>,
    ) -> Self {
        let mut record = latest.clone();
        record.version = Version::Number(number).to_string();
        record.revision_id = revision_id;
        record.reserved_concurrency = None;
        record.tags.clear();
        if let Some(description) = description {
            record.configuration.description = description;
        }
        Self { record, source_description: latest.configuration.description.clone() }
    }

    /// Whether `latest` has had the same code and settings since.
    pub(crate) fn is_still(&self, latest: &FunctionRecord) -> bool {
        if self.record.code != latest.code || self.source_description != latest.configuration.description {
            return false;
        }
        let mut settings = self.record.configuration.clone();
        settings.description.clone_from(&self.source_description);
        settings == latest.configuration
    }

    pub(super) fn number(&self) -> u64 {
        Version::parse(&self.record.version).map_or(0, Version::number)
    }
}

/// An alias.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alias {
    /// The function.
    pub(crate) function: String,
    /// Its name; unique in the function.
    pub(crate) name: String,
    /// The version that it names.
    pub(crate) version: Version,
    /// A second published version with its weight between 0.0 and 1.0.
    pub(crate) additional: Option<(u64, f64)>,
    /// Text.
    pub(crate) description: String,
    /// Changes with each write; made by the caller.
    pub(crate) revision_id: String,
}

/// A change of versions or aliases.
#[derive(Clone, Debug)]
pub(crate) enum VersionChange {
    /// Adds a version; `$LATEST` gets a new revision.
    Publish {
        /// The revision of `$LATEST` that the version was made from.
        expected: String,
        /// The next revision of `$LATEST`.
        revision_id: String,
        /// The version; its number follows the last one.
        published: Box<Published>,
    },
    /// What became of a version that was being made. Code and settings stay.
    Settle {
        /// Function.
        function: String,
        /// Which version.
        number: u64,
        /// The revision that it has now.
        revision_id: String,
        /// Its state.
        state: State,
        /// Its status.
        last_update: UpdateStatus,
    },
    /// Forgets a version; an absent one is no error, one that an alias names is.
    Remove {
        /// Function.
        function: String,
        /// Which version.
        number: u64,
    },
    /// A new alias.
    CreateAlias(Box<Alias>),
    /// Another state of an alias.
    UpdateAlias {
        /// The revision that it was derived from.
        expected: String,
        /// What is to be stored.
        alias: Box<Alias>,
    },
    /// Forgets an alias; an absent one is no error.
    RemoveAlias {
        /// Function.
        function: String,
        /// Its name.
        alias: String,
    },
}

impl VersionChange {
    /// The function that it is about.
    pub(crate) fn function(&self) -> &str {
        match self {
            Self::Publish { published, .. } => &published.record.name,
            Self::CreateAlias(alias) | Self::UpdateAlias { alias, .. } => &alias.function,
            Self::Settle { function, .. }
            | Self::Remove { function, .. }
            | Self::RemoveAlias { function, .. } => function,
        }
    }
}

/// Why a change of versions or aliases was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionError {
    /// There is no such version.
    #[error("function {function} has no version {number}")]
    Missing {
        /// Function.
        function: String,
        /// Which version.
        number: u64,
    },
    /// Somebody published in between.
    #[error("version {number} of function {function} is not the next one")]
    NotNext {
        /// Function.
        function: String,
        /// The number given.
        number: u64,
    },
    /// Aliases name the version.
    #[error("version {number} of function {function} is named by {aliases:?}")]
    InUse {
        /// Function.
        function: String,
        /// Which version.
        number: u64,
        /// The aliases, by name.
        aliases: Vec<String>,
    },
    /// The alias exists.
    #[error("function {function} has an alias {alias} already")]
    AliasExists {
        /// Function.
        function: String,
        /// Its name.
        alias: String,
    },
    /// There is no such alias.
    #[error("function {function} has no alias {alias}")]
    AliasMissing {
        /// Function.
        function: String,
        /// Its name.
        alias: String,
    },
}

/// What the rules ask an engine for.
pub(super) trait Shelf {
    fn function(&self, name: &str) -> Result<Option<FunctionRecord>, StoreError>;
    fn version(&self, function: &str, number: u64) -> Result<Option<Published>, StoreError>;
    /// The last number given; 0 for none.
    fn last_number(&self, function: &str) -> Result<u64, StoreError>;
    fn alias(&self, function: &str, name: &str) -> Result<Option<Alias>, StoreError>;
    /// Names of the aliases that name this version, ascending.
    fn aliases_of(&self, function: &str, number: u64) -> Result<Vec<String>, StoreError>;
}

/// What an engine must write, in order.
#[derive(Debug)]
pub(super) enum Act {
    PutFunction(Box<FunctionRecord>),
    /// Its number becomes the last one given, if it is higher.
    PutVersion(Box<Published>),
    RemoveVersion {
        function: String,
        number: u64,
    },
    PutAlias(Box<Alias>),
    RemoveAlias {
        function: String,
        alias: String,
    },
}

/// The rules.
pub(super) fn plan(change: VersionChange, shelf: &impl Shelf) -> Result<Vec<Act>, CommitError> {
    let function = change.function().to_owned();
    let latest = shelf.function(&function)?;
    let mut latest = latest.ok_or_else(|| CommitError::Missing { name: function.clone() })?;
    match change {
        VersionChange::Publish { expected, revision_id, published } => {
            if latest.revision_id != expected {
                return Err(stale(function, expected, latest.revision_id));
            }
            let number = published.number();
            if number != shelf.last_number(&function)? + 1 {
                return Err(VersionError::NotNext { function, number }.into());
            }
            latest.revision_id = revision_id;
            Ok(vec![Act::PutFunction(Box::new(latest)), Act::PutVersion(published)])
        }
        VersionChange::Settle { number, revision_id, state, last_update, .. } => {
            let stored = shelf.version(&function, number)?;
            let mut published = stored.ok_or(VersionError::Missing { function, number })?;
            published.record.revision_id = revision_id;
            published.record.state = state;
            published.record.last_update = last_update;
            Ok(vec![Act::PutVersion(Box::new(published))])
        }
        VersionChange::Remove { number, .. } => {
            let aliases = shelf.aliases_of(&function, number)?;
            if !aliases.is_empty() {
                return Err(VersionError::InUse { function, number, aliases }.into());
            }
            Ok(vec![Act::RemoveVersion { function, number }])
        }
        VersionChange::CreateAlias(alias) => {
            if shelf.alias(&function, &alias.name)?.is_some() {
                return Err(VersionError::AliasExists { function, alias: alias.name }.into());
            }
            check_versions(&alias, shelf)?;
            Ok(vec![Act::PutAlias(alias)])
        }
        VersionChange::UpdateAlias { expected, alias } => {
            let Some(stored) = shelf.alias(&function, &alias.name)? else {
                return Err(VersionError::AliasMissing { function, alias: alias.name }.into());
            };
            if stored.revision_id != expected {
                return Err(stale(format!("{function}:{}", alias.name), expected, stored.revision_id));
            }
            check_versions(&alias, shelf)?;
            Ok(vec![Act::PutAlias(alias)])
        }
        VersionChange::RemoveAlias { alias, .. } => Ok(vec![Act::RemoveAlias { function, alias }]),
    }
}

fn stale(name: String, expected: String, stored: String) -> CommitError {
    CommitError::Stale { name, expected, stored }
}

/// An alias names what exists.
fn check_versions(alias: &Alias, shelf: &impl Shelf) -> Result<(), CommitError> {
    let named = [
        Some(alias.version.number()).filter(|number| *number > 0),
        alias.additional.map(|(number, _)| number),
    ];
    for number in named.into_iter().flatten() {
        if shelf.version(&alias.function, number)?.is_none() {
            return Err(VersionError::Missing { function: alias.function.clone(), number }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::record;

    #[test]
    fn a_version_is_read_only_as_it_is_written() {
        for text in ["$LATEST", "1", "42", "18446744073709551615"] {
            assert_eq!(Version::parse(text).map(|it| it.to_string()).as_deref(), Some(text));
        }
        for text in [
            "",
            "0",
            "007",
            "+1",
            "-1",
            "1.0",
            "$latest",
            "$LATEST.PUBLISHED",
            "live",
            "18446744073709551616",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_version_is_still_its_source_until_code_or_a_setting_changes() {
        let mut latest = record("f");
        latest.configuration.description = "mine".into();
        let own = Published::of(&latest, 1, "r".into(), Some("another".into()));
        assert_eq!(
            (own.record.configuration.description.as_str(), own.record.version.as_str()),
            ("another", "1")
        );
        latest.tags.insert("a".into(), "1".into());
        latest.reserved_concurrency = Some(3);
        latest.revision_id = "later".into();
        assert!(own.is_still(&latest), "tags, reservation and revision are no part of a version");
        let changes: [fn(&mut FunctionRecord); 4] = [
            |it| it.configuration.description = "another".into(),
            |it| it.configuration.timeout_s += 1,
            |it| it.code.digest.0[0] ^= 1,
            |it| it.configuration.environment = Some([].into()),
        ];
        for change in changes {
            let mut changed = latest.clone();
            change(&mut changed);
            assert!(!own.is_still(&changed));
        }
    }
}
