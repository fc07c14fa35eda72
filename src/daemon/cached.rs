//! What is kept in memory of functions that were invoked: the revisions of their versions, and where aliases lead.
//!
//! Bounded in all, whatever a function has of versions and aliases; what does not fit is read again when it is invoked.
//! Holds and forgets; what serves, and what the scheduler hears of it, is decided in `functions`.

use super::doors::Door;
use super::revision::Revision;
use crate::store::{Alias, Version};
use hearth_logic::routing::Share;
use hearth_logic::{FunctionId, ProvisionedId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Revisions and aliases of all functions together.
const CACHED_MAX: usize = 10_000;

/// Where an alias leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    version: Version,
    additional: Option<(u64, Share)>,
}

impl Route {
    pub(super) fn of(alias: &Alias) -> Self {
        let share = |weight| Share::from_weight(weight).unwrap_or(Share::NONE);
        Self {
            version: alias.version,
            additional: alias.additional.map(|(number, weight)| (number, share(weight))),
        }
    }

    /// How many of `wanted` environments each version of it gets: by weight, rounded to the nearest, a half in favour of
    /// the first version, so that the parts add up.
    pub(super) fn split(self, wanted: u32) -> Vec<(Version, u32)> {
        let Some((number, share)) = self.additional else { return vec![(self.version, wanted)] };
        let second = share.of(wanted);
        let mut parts = vec![(self.version, wanted - second), (Version::Number(number), second)];
        parts.retain(|(_, count)| *count > 0);
        parts
    }

    /// The version that the invocation with this draw runs.
    pub(super) fn pick(self, draw: u64) -> Version {
        match self.additional {
            Some((number, share)) if share.takes(draw) => Version::Number(number),
            _ => self.version,
        }
    }
}

/// `$LATEST` as it serves.
pub(super) struct Latest {
    /// The store's revision of it; publishing changes that and nothing that runs.
    pub(super) stored: String,
    pub(super) revision: Arc<Revision>,
}

/// Provisioned concurrency of a version or alias, as it was told to the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provision {
    /// Its name there.
    pub(crate) id: ProvisionedId,
    /// How many environments in all.
    pub(crate) wanted: u32,
    /// Why none can be had, if a version of it cannot run here.
    pub(crate) obstacle: Option<String>,
}

/// One function.
pub(super) struct Entry {
    pub(super) function: FunctionId,
    pub(super) door: Door,
    /// Its reservation holds whether it runs or not, so the scheduler must go on knowing it.
    pub(super) reserved: Option<u32>,
    /// By version or alias; kept whether it runs or not, too.
    pub(super) provisions: BTreeMap<String, Provision>,
    pub(super) latest: Option<Latest>,
    pub(super) versions: BTreeMap<u64, Arc<Revision>>,
    pub(super) aliases: BTreeMap<String, Route>,
}

impl Entry {
    pub(super) fn new(function: FunctionId) -> Self {
        Self {
            function,
            door: Door::default(),
            reserved: None,
            provisions: BTreeMap::new(),
            latest: None,
            versions: BTreeMap::new(),
            aliases: BTreeMap::new(),
        }
    }

    pub(super) fn revision(&self, version: Version) -> Option<&Arc<Revision>> {
        match version {
            Version::Latest => self.latest.as_ref().map(|latest| &latest.revision),
            Version::Number(number) => self.versions.get(&number),
        }
    }

    pub(super) fn revisions(&self) -> impl Iterator<Item = &Arc<Revision>> {
        self.latest.iter().map(|latest| &latest.revision).chain(self.versions.values())
    }

    /// What an invocation by this version, or by an alias that led to it, may use.
    pub(super) fn provisioned(&self, version: Version, alias: Option<&str>) -> Option<ProvisionedId> {
        if self.provisions.is_empty() {
            return None;
        }
        let by_alias = alias.and_then(|alias| self.provisions.get(alias));
        by_alias.or_else(|| self.provisions.get(&version.to_string())).map(|provision| provision.id)
    }

    fn size(&self) -> usize {
        usize::from(self.latest.is_some()) + self.versions.len() + self.aliases.len()
    }

    /// Nothing runs of it, and nothing hangs on it.
    fn is_unused(&self) -> bool {
        let is_promised = self.reserved.is_some() || !self.provisions.is_empty();
        !is_promised && self.revisions().all(|revision| Arc::strong_count(revision) == 1)
    }
}

/// See the module.
pub(super) struct Cached {
    entries: BTreeMap<String, Entry>,
    /// Sum of the entries' sizes.
    size: usize,
    max: usize,
}

impl Default for Cached {
    fn default() -> Self {
        Self::bounded(CACHED_MAX)
    }
}

impl Cached {
    /// With another bound.
    pub(super) const fn bounded(max: usize) -> Self {
        Self { entries: BTreeMap::new(), size: 0, max }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Changes one entry, if it is there.
    pub(super) fn change<T>(&mut self, name: &str, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let entry = self.entries.get_mut(name)?;
        let before = entry.size();
        let changed = change(entry);
        self.size = self.size - before + entry.size();
        Some(changed)
    }

    /// Adds an entry without revisions, unless there is one.
    pub(super) fn open(&mut self, name: &str, entry: impl FnOnce() -> Entry) {
        if !self.entries.contains_key(name) {
            self.entries.insert(name.to_owned(), entry());
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        self.size -= entry.size();
        Some(entry)
    }

    /// Takes out one entry that nothing runs of, if there is no room for more; `but` stays.
    pub(super) fn make_room(&mut self, but: &str) -> Option<Entry> {
        if self.size.max(self.entries.len()) < self.max {
            return None;
        }
        let unused = self.entries.iter().find(|(name, entry)| *name != but && entry.is_unused());
        let name = unused.map(|(name, _)| name.clone())?;
        self.remove(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(version: Version, additional: Option<(u64, f64)>) -> Alias {
        Alias {
            function: "f".into(),
            name: "live".into(),
            version,
            additional,
            description: String::new(),
            revision_id: String::new(),
        }
    }

    #[test]
    fn an_alias_of_one_version_always_leads_there() {
        for version in [Version::Latest, Version::Number(3)] {
            let route = Route::of(&alias(version, None));
            assert_eq!([route.pick(0), route.pick(u64::MAX)], [version, version]);
        }
    }

    #[test]
    fn the_additional_version_gets_its_share() {
        let route = Route::of(&alias(Version::Number(1), Some((2, 0.25))));
        assert_eq!(route.pick(0), Version::Number(2));
        assert_eq!(route.pick(u64::MAX / 4 - 1), Version::Number(2));
        assert_eq!(route.pick(u64::MAX / 4 + 1_000_000), Version::Number(1));
        assert_eq!(route.pick(u64::MAX), Version::Number(1));
    }

    #[test]
    fn provisioned_environments_are_split_by_weight_and_add_up() {
        let split = |weight: f64, wanted| {
            let parts = Route::of(&alias(Version::Number(1), Some((2, weight)))).split(wanted);
            assert_eq!(parts.iter().map(|(_, count)| count).sum::<u32>(), wanted);
            parts
                .into_iter()
                .find(|(version, _)| *version == Version::Number(2))
                .map_or(0, |(_, count)| count)
        };
        let cases =
            [(0.5, 4, 2), (0.5, 1, 0), (0.9, 1, 1), (0.25, 10, 2), (0.26, 10, 3), (0.0, 7, 0), (1.0, 7, 7)];
        for (weight, wanted, second) in cases {
            assert_eq!(split(weight, wanted), second, "{weight} of {wanted}");
        }
        assert_eq!(Route::of(&alias(Version::Number(3), None)).split(5), [(Version::Number(3), 5)]);
    }

    #[test]
    fn sizes_add_up_and_the_function_in_hand_is_never_taken_out() {
        let mut cached = Cached::default();
        let aliases = |entry: &mut Entry, count: usize| {
            let route = Route { version: Version::Latest, additional: None };
            entry.aliases.extend((0..count).map(|at| (format!("a{at}"), route)));
        };
        for name in ["a", "b"] {
            cached.open(name, || Entry::new(FunctionId(1)));
            cached.change(name, |entry| aliases(entry, CACHED_MAX / 2));
        }
        assert_eq!(cached.size, CACHED_MAX);
        cached.change("b", |entry| entry.reserved = Some(1));
        assert!(cached.make_room("a").is_none(), "a is in hand, b reserves");
        assert!(cached.make_room("c").is_some_and(|entry| entry.reserved.is_none()));
        assert_eq!(cached.size, CACHED_MAX / 2);
        assert!(cached.make_room("c").is_none(), "there is room now");
        assert!(cached.remove("b").is_some());
        assert_eq!((cached.size, cached.entries.len()), (0, 0));
    }
}
