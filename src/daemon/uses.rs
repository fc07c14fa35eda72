//! Which packages and trees are in use beside those that the catalog refers to.
//!
//! A function's code may be replaced or deleted while somebody who found it before is still on the way to start an
//! environment of it, or runs one. Whatever can be run ([`super::revision::Revision`]) therefore holds what it is made of,
//! and the collector of unused code takes one aside only while nobody can begin to. It removes nothing itself.

use crate::store::Users;
use hearth_sandbox::Digest;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Packages, and how many hold each; clones are of the same.
#[derive(Clone, Default)]
pub(crate) struct Uses(Arc<Mutex<BTreeMap<Digest, usize>>>);

/// A package, or several as one tree, that somebody may run: what is on disk of it stays there for as long as this lives.
pub(crate) struct Use {
    digest: Digest,
    uses: Uses,
}

impl Uses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what is on disk under this name.
    pub(crate) fn hold(&self, digest: Digest) -> Use {
        *self.lock().entry(digest).or_default() += 1;
        Use { digest, uses: self.clone() }
    }
}

impl Users for Uses {
    fn unless_used(
        &self,
        digest: &Digest,
        deed: &mut dyn FnMut() -> io::Result<bool>,
    ) -> Option<io::Result<bool>> {
        let uses = self.lock();
        (!uses.contains_key(digest)).then(deed)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut uses = self.uses.lock();
        match uses.get_mut(&self.digest) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                uses.remove(&self.digest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_in_use_until_the_last_who_holds_it_lets_go() {
        let uses = Uses::default();
        let package = Digest([7; 32]);
        let unused = || uses.unless_used(&package, &mut || Ok(true)).is_some();
        assert!(unused());
        let (first, second) = (uses.hold(package), uses.hold(package));
        drop(first);
        assert!(!unused());
        drop(second);
        let _other = uses.hold(Digest([8; 32]));
        assert!(unused());
    }
}
