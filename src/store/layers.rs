//! The trees of layers: what `/opt` is for a function with several of them.
//!
//! Layers are merged when a tree is made, not when it is mounted: the tree is a directory like that of a package, shared
//! read-only by all that name the same layers in the same order, and the forker needs to know nothing of layers. One
//! layer's tree is its package's own. Which layers a function has is not known here.

use super::archive::{self, ArchiveError, Node};
use super::blobs::BlobError;
use super::package::Package;
use super::unpack::{UnpackError, Unpacker};
use hearth_sandbox::{Digest, Tree};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The name of the tree of these layers; none if there are none. No package has the name of a merged tree: that would
/// take a collision of SHA-256.
pub(crate) fn tree_of(layers: &[Digest]) -> Option<Digest> {
    match layers {
        [] => None,
        [one] => Some(*one),
        several => {
            let mut hash = Sha256::new_with_prefix(b"layers");
            several.iter().for_each(|layer| hash.update(layer.0));
            Some(Digest(hash.finalize().into()))
        }
    }
}

impl Unpacker {
    /// Makes the tree of these layers, later ones over earlier ones, unless it is there. Blocks.
    pub(crate) fn ensure_layers(&self, layers: &[Digest]) -> Result<(), UnpackError> {
        let Some(tree) = tree_of(layers).filter(|tree| !self.path(Tree::Task(*tree)).is_dir()) else {
            return Ok(());
        };
        let stored = layers.iter().map(|layer| self.blobs.open(layer)).collect::<Result<Vec<_>, _>>()?;
        let packages: Vec<Package<'_>> = stored.iter().map(|stored| stored.package()).collect();
        self.unpack_all(&tree, &packages)
    }
}

/// Bytes that stored packages, which were checked when they came, have unpacked. Blocks.
pub(crate) fn unzipped(
    blobs: &super::Blobs,
    packages: &[Digest],
) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let mut sum = 0_u64;
    for digest in packages {
        let stored = blobs.open(digest).map_err(|error: BlobError| error.to_string())?;
        let plan = archive::plan(stored.package())?;
        let sizes = plan.nodes.values().map(|node| match node {
            Node::Directory => 0,
            Node::File { entry, .. } | Node::Link { entry } => entry.size,
        });
        sum = sum.saturating_add(sizes.sum());
    }
    Ok(sum)
}

/// What several packages come to, one laid over the other: each path with the package that it comes from.
pub(super) fn merge<'a>(
    packages: &[Package<'a>],
) -> Result<BTreeMap<Vec<u8>, (Package<'a>, Node)>, ArchiveError> {
    let mut merged = BTreeMap::new();
    for package in packages {
        for (path, node) in archive::plan(*package)?.nodes {
            make_way(&mut merged, &path, &node);
            merged.insert(path, (*package, node));
        }
    }
    Ok(merged)
}

/// Removes what cannot be beside this node: files where it needs folders, and a folder's content where it is a file.
fn make_way(merged: &mut BTreeMap<Vec<u8>, (Package<'_>, Node)>, path: &[u8], node: &Node) {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    for end in slashes {
        let above = &path[..end];
        if merged.get(above).is_some_and(|(_, there)| !matches!(there, Node::Directory)) {
            merged.remove(above);
        }
    }
    if !matches!(node, Node::Directory) {
        let below = [path, b"/"].concat();
        let gone: Vec<Vec<u8>> = merged
            .range(below.clone()..)
            .map(|(name, _)| name.clone())
            .take_while(|name| name.starts_with(&below))
            .collect();
        for name in gone {
            merged.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Fixture;
    use crate::store::zips;
    use std::fs;

    #[test]
    fn the_order_of_layers_names_the_tree_and_one_layer_is_its_own_tree() {
        let (a, b) = (Digest([1; 32]), Digest([2; 32]));
        assert_eq!(tree_of(&[]), None);
        assert_eq!(tree_of(&[a]), Some(a));
        assert_ne!(tree_of(&[a, b]), tree_of(&[b, a]));
        assert_ne!(tree_of(&[a, a]), Some(a));
    }

    #[test]
    fn a_later_layer_wins_also_where_a_file_meets_a_folder() {
        let fixture = Fixture::new();
        let put = |files: &[(&str, &str)]| fixture.blobs.put(&zips::zip(files)).expect("puts");
        let first = put(&[("same", "1"), ("only-first", "1"), ("folder/in", "1"), ("file", "1")]);
        let second = put(&[("same", "2"), ("folder", "2"), ("file/in", "2")]);
        let layers = [first.code().digest, second.code().digest];
        fixture.unpacker.ensure_layers(&layers).expect("merges");
        let root = fixture.unpacker.path(Tree::Task(tree_of(&layers).expect("is named")));
        let read = |name: &str| fs::read_to_string(root.join(name)).expect(name);
        assert_eq!([read("same"), read("folder"), read("file/in")], ["2", "2", "2"]);
        assert_eq!(read("only-first"), "1");
        assert_eq!(unzipped(&fixture.blobs, &layers).expect("counts"), 7);
    }
}
