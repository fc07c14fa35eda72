//! Which packages and trees are in use beside those that the catalog refers to.
//!
//! A function's code may be replaced or deleted while somebody who found it before is still on the way to start an
//! environment of it, or runs one. Whatever can be run ([`super::revision::Revision`]) therefore holds its trees, and the
//! collector of unused code takes one aside only while nobody can begin to. It removes nothing itself.

use crate::store::Users;
use hearth_sandbox::{Digest, Tree};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Trees and how many hold them; clones are of the same.
#[derive(Clone, Default)]
pub(crate) struct Uses(Arc<Mutex<BTreeMap<Tree, usize>>>);

/// A tree that somebody may run; it and its package stay on disk for as long as this lives.
pub(crate) struct Use {
    tree: Tree,
    uses: Uses,
}

impl Uses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Tree, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a tree on disk.
    pub(crate) fn hold(&self, tree: Tree) -> Use {
        *self.lock().entry(tree).or_default() += 1;
        Use { tree, uses: self.clone() }
    }
}

impl Users for Uses {
    fn unless_used(
        &self,
        package: &Digest,
        deed: &mut dyn FnMut() -> io::Result<bool>,
    ) -> Option<io::Result<bool>> {
        let uses = self.lock();
        let used = [Tree::Task(*package), Tree::Root(*package)].iter().any(|tree| uses.contains_key(tree));
        (!used).then(deed)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut uses = self.uses.lock();
        match uses.get_mut(&self.tree) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                uses.remove(&self.tree);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_in_use_until_the_last_who_holds_it_lets_go() {
        let uses = Uses::default();
        let package = Digest([7; 32]);
        let unused = || uses.unless_used(&package, &mut || Ok(true)).is_some();
        assert!(unused());
        let (first, second) = (uses.hold(Tree::Task(package)), uses.hold(Tree::Task(package)));
        drop(first);
        assert!(!unused());
        drop(second);
        let _other = uses.hold(Tree::Task(Digest([8; 32])));
        assert!(unused());
        let _root = uses.hold(Tree::Root(package));
        assert!(!unused());
    }
}
