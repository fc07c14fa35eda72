//! Where in the host's control group hierarchies our groups are made, and how v2 is made ready for them.
//!
//! Groups are made below the one that the daemon was started in, so that a service manager's limits hold for
//! functions, too. v2 wants a group to have either members or children with controllers: whoever is in ours moves to
//! the leaf `hearth.main` beside them, and back when the last daemon there ends. It makes no sandbox's group.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const V1_CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
/// The v2 tree of a hybrid host, among the names of controllers: it freezes, and ends what is frozen.
pub(crate) const UNIFIED: &str = "unified";
/// The v1 controller that freezes where there is no v2 tree.
pub(crate) const FREEZER: &str = "freezer";
/// The group of those who were in the base before it had children; shared by all daemons that start there.
const LEAF: &str = "hearth.main";
/// Moving members races with their forks; each round finds those born meanwhile.
const MOVE_ROUNDS: usize = 8;

/// Which hierarchies this host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One v2 tree with all controllers.
    Pure {
        /// Directory under which our groups are made.
        base: PathBuf,
    },
    /// v1 controllers, each with its own tree, and what freezes: a v2 tree without controllers, or v1's freezer.
    Hybrid {
        /// Controller name (or `unified`) and directory under which our groups are made.
        bases: Vec<(String, PathBuf)>,
    },
}

impl Layout {
    /// Reads `/proc/self/cgroup` and `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// When a needed controller is not there; the message names it.
    pub fn detect() -> io::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        Self::parse(&own, &mounts).map_err(io::Error::other)
    }

    fn parse(own: &str, mounts: &str) -> Result<Self, String> {
        let own_path = |controller: &str| -> Option<&str> {
            own.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':');
                let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
                let hit = if controller.is_empty() {
                    names.is_empty()
                } else {
                    names.split(',').any(|name| name == controller)
                };
                hit.then_some(path)
            })
        };
        let mut bases = Vec::new();
        for controller in V1_CONTROLLERS {
            if let (Some(mount), Some(path)) = (find_v1(mounts, controller), own_path(controller)) {
                bases.push((controller.to_owned(), mount.place_of(path)));
            }
        }
        if bases.len() == V1_CONTROLLERS.len() {
            let v2 = find_v2(mounts).zip(own_path("")).map(|found| (UNIFIED, found));
            let v1 = || find_v1(mounts, FREEZER).zip(own_path(FREEZER)).map(|found| (FREEZER, found));
            let (name, (mount, path)) =
                v2.or_else(v1).ok_or("no cgroup v2 tree and no v1 controller for: freezer")?;
            bases.push((name.to_owned(), mount.place_of(path)));
            return Ok(Self::Hybrid { bases });
        }
        if let (Some(mount), Some(path)) = (find_v2(mounts), own_path("")) {
            let own = mount.place_of(path);
            // A daemon started by somebody who was moved belongs beside the one that moved them, not below it.
            let base = if own.ends_with(LEAF) { own.parent().map(Path::to_owned) } else { None };
            return Ok(Self::Pure { base: base.unwrap_or(own) });
        }
        let missing: Vec<&str> = V1_CONTROLLERS
            .into_iter()
            .filter(|controller| !bases.iter().any(|(name, _)| name == controller))
            .collect();
        Err(format!("no cgroup v2 tree and no v1 controller for: {}", missing.join(", ")))
    }

    /// True where limits are written in v2's form.
    #[must_use]
    pub const fn is_pure(&self) -> bool {
        matches!(self, Self::Pure { .. })
    }

    /// Text for logs and `doctor`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Pure { base } => format!("pure v2 at {}", base.display()),
            Self::Hybrid { bases } => {
                let names: Vec<&str> = bases.iter().map(|(name, _)| name.as_str()).collect();
                format!("hybrid (v1 {})", names.join(", "))
            }
        }
    }
}

/// Where a hierarchy is mounted, and which of its groups is seen there.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
}

impl Mount<'_> {
    /// The directory of a group, as `/proc/self/cgroup` names it. A container may see only a part of the hierarchy.
    fn place_of(&self, group: &str) -> PathBuf {
        let below = Path::new(group).strip_prefix(self.root).or_else(|_| Path::new(group).strip_prefix("/"));
        Path::new(self.point).join(below.unwrap_or(Path::new("")))
    }
}

/// The first mount of the given type whose super options (v1: a controller) contain `option`.
fn find_mount<'a>(mounts: &'a str, kind: &str, option: Option<&str>) -> Option<Mount<'a>> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (found, _, options) = (right.next()?, right.next()?, right.next()?);
        let fits = found == kind && option.is_none_or(|option| options.split(',').any(|o| o == option));
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        fits.then_some(Mount { root, point })
    })
}

fn find_v1<'a>(mounts: &'a str, controller: &str) -> Option<Mount<'a>> {
    find_mount(mounts, "cgroup", Some(controller))
}

fn find_v2(mounts: &str) -> Option<Mount<'_>> {
    find_mount(mounts, "cgroup2", None)
}

fn controllers(sign: char) -> String {
    V1_CONTROLLERS.map(|name| format!("{sign}{name}")).join(" ")
}

fn control(dir: &Path) -> PathBuf {
    dir.join("cgroup.subtree_control")
}

/// Gives the controllers to `root`, a new child of `base`, and to its children.
///
/// # Errors
/// When the kernel refuses; the message says what is missing.
pub(crate) fn delegate(base: &Path, root: &Path) -> io::Result<()> {
    offer(base);
    let offered = fs::read_to_string(base.join("cgroup.controllers"))?;
    let missing: Vec<&str> = V1_CONTROLLERS
        .into_iter()
        .filter(|name| !offered.split_whitespace().any(|one| one == *name))
        .collect();
    if !missing.is_empty() {
        return Err(io::Error::other(format!(
            "the control group {} lacks {}; start hearth as a unit with Delegate=yes",
            base.display(),
            missing.join(", ")
        )));
    }
    let leaf = base.join(LEAF);
    let mut enabled = fs::write(control(base), controllers('+'));
    for _ in 0..MOVE_ROUNDS {
        if enabled.is_ok() {
            break;
        }
        fs::create_dir_all(&leaf)?;
        move_members(base, &leaf)?;
        enabled = fs::write(control(base), controllers('+'));
    }
    enabled?;
    fs::write(control(root), controllers('+'))
}

/// Asks every group above `base` to hand the controllers down. Best effort: who runs the host may have done it, or may
/// not want it, and what is missing then is told by the caller.
fn offer(base: &Path) {
    let is_group = |dir: &&Path| dir.join("cgroup.controllers").exists();
    let mut above: Vec<&Path> = base.ancestors().skip(1).take_while(is_group).collect();
    above.reverse();
    for dir in above {
        fs::write(control(dir), controllers('+')).ok();
    }
}

/// Puts members back whom `delegate` moved, unless another daemon still has groups here. Best effort: a service
/// manager removes the whole unit.
pub(crate) fn undelegate(base: &Path) {
    let leaf = base.join(LEAF);
    if !leaf.exists() {
        return;
    }
    let others = fs::read_dir(base).into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        entry.path().is_dir() && name != LEAF && name.to_string_lossy().starts_with("hearth-")
    });
    if others.count() > 0 || fs::write(control(base), controllers('-')).is_err() {
        return;
    }
    for _ in 0..MOVE_ROUNDS {
        if move_members(&leaf, base).is_err() || fs::remove_dir(&leaf).is_ok() {
            return;
        }
    }
}

fn move_members(from: &Path, to: &Path) -> io::Result<()> {
    for pid in fs::read_to_string(from.join("cgroup.procs"))?.lines() {
        match fs::write(to.join("cgroup.procs"), pid) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
30 20 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
31 20 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 20 0:28 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
33 20 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn hybrid_hosts_use_the_v1_controllers_below_the_own_group() {
        let own = "8:pids:/\n4:memory:/box/1\n1:cpu:/\n0::/";
        let layout = Layout::parse(own, HYBRID_MOUNTS).expect("all three are there");
        let Layout::Hybrid { bases } = layout else { panic!("not hybrid") };
        assert_eq!(bases[3], (UNIFIED.to_owned(), PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(bases[0], ("memory".to_owned(), PathBuf::from("/sys/fs/cgroup/memory/box/1")));
    }

    #[test]
    fn what_freezes_is_v1s_freezer_where_there_is_no_v2_tree() {
        let own = "8:pids:/\n6:freezer:/box\n4:memory:/box/1\n1:cpu:/";
        let v1: Vec<&str> = HYBRID_MOUNTS.lines().filter(|line| !line.contains("cgroup2")).collect();
        let error = Layout::parse(own, &v1.join("\n")).expect_err("nothing freezes");
        assert!(error.contains("freezer"), "{error}");
        let with = [&v1[..], &["34 20 0:30 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer"]].concat();
        let layout = Layout::parse(own, &with.join("\n")).expect("all four are there");
        let Layout::Hybrid { bases } = layout else { panic!("not hybrid") };
        assert_eq!(bases[3], (FREEZER.to_owned(), PathBuf::from("/sys/fs/cgroup/freezer/box")));
    }

    #[test]
    fn pure_hosts_use_the_one_tree() {
        let mounts = "25 20 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        let layout = Layout::parse("0::/system.slice/hearth.service\n", mounts).expect("v2 is there");
        assert_eq!(layout, Layout::Pure { base: "/sys/fs/cgroup/system.slice/hearth.service".into() });
    }

    #[test]
    fn a_host_without_controllers_is_told_which_are_missing() {
        let error = Layout::parse("1:cpu:/\n", "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu")
            .expect_err("memory is missing");
        assert!(error.contains("memory, pids"), "{error}");
    }

    #[test]
    fn who_was_moved_to_the_leaf_is_served_beside_it() {
        let mounts = "25 20 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        let layout =
            Layout::parse("0::/user.slice/session-1.scope/hearth.main\n", mounts).expect("v2 is there");
        assert_eq!(layout, Layout::Pure { base: "/sys/fs/cgroup/user.slice/session-1.scope".into() });
    }

    #[test]
    fn a_container_that_sees_a_part_of_the_hierarchy_finds_its_place_in_it() {
        let mounts = "25 20 0:22 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let layout = Layout::parse("0::/docker/1/box\n", mounts).expect("v2 is there");
        assert_eq!(layout, Layout::Pure { base: "/sys/fs/cgroup/box".into() });
    }
}
