//! Control groups: one group per sandbox, on pure v2 hosts and on hybrid ones (v1 controllers).
//!
//! Hides the difference. Hot paths keep descriptors open and never open a file by path; members are placed while
//! a sandbox is being built, because the first v1 placement after idle stalls on an RCU grace period (9–12 ms).
//! It does not decide limits; where in the hierarchies the groups are made is `hierarchy.rs`.

pub use crate::hierarchy::Layout;
use crate::hierarchy::{FREEZER, UNIFIED, delegate, undelegate};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The kernel's scheduler period for CPU quotas, microseconds; Lambda's, by measurements that others published.
pub const CPU_PERIOD_US: u64 = 20_000;
/// More than any kernel writes into `memory.stat`.
const STAT_BYTES_MAX: usize = 8192;
/// The smallest quota that the kernel takes.
const CPU_QUOTA_MIN_US: u64 = 1000;

/// How a group is frozen: which file, and what is written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freezer {
    /// `cgroup.freeze`; what is killed while frozen ends at once.
    V2,
    /// v1's `freezer.state`; what is killed while frozen ends when it is thawed.
    V1,
}

impl Freezer {
    const fn file(self) -> &'static str {
        match self {
            Self::V2 => "cgroup.freeze",
            Self::V1 => "freezer.state",
        }
    }

    const fn text(self, frozen: bool) -> &'static str {
        match (self, frozen) {
            (Self::V2, true) => "1",
            (Self::V2, false) => "0",
            (Self::V1, true) => "FROZEN",
            (Self::V1, false) => "THAWED",
        }
    }

    /// Freezes or thaws all members of a group by its kept file. Returns before the last of them has stopped.
    ///
    /// # Errors
    /// When the group is gone.
    pub fn set(self, file: &File, frozen: bool) -> io::Result<()> {
        file.write_all_at(self.text(frozen).as_bytes(), 0)
    }
}

/// Our part of the hierarchies: `…/hearth-<instance>`.
#[derive(Debug)]
pub struct Groups {
    layout: Layout,
    roots: Vec<(String, PathBuf)>,
}

impl Groups {
    /// Makes our directories, after removing what a crashed run of the same instance left.
    ///
    /// # Errors
    /// When the hierarchy is not writable or lacks controllers.
    pub fn prepare(layout: Layout, instance: &str) -> io::Result<Self> {
        let name = format!("hearth-{instance}");
        let roots: Vec<(String, PathBuf)> = match &layout {
            Layout::Pure { base } => {
                let root = base.join(&name);
                sweep(&root);
                fs::create_dir_all(&root)?;
                delegate(base, &root)?;
                vec![("".to_owned(), root)]
            }
            Layout::Hybrid { bases } => {
                let mut roots = Vec::new();
                for (controller, base) in bases {
                    let root = base.join(&name);
                    sweep(&root);
                    fs::create_dir_all(&root)?;
                    roots.push((controller.clone(), root));
                }
                roots
            }
        };
        Ok(Self { layout, roots })
    }

    /// Makes the group of one slot.
    ///
    /// # Errors
    /// When the kernel refuses; nothing is left then.
    pub fn create(&self, slot: u32, pids_max: u32) -> io::Result<Group> {
        let mut group = Group { pure: self.layout.is_pure(), dirs: Vec::new() };
        for (controller, root) in &self.roots {
            let dir = root.join(slot.to_string());
            match fs::create_dir(&dir) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    fs::remove_dir(&dir)?;
                    fs::create_dir(&dir)?;
                }
                Err(error) => {
                    group.remove();
                    return Err(error);
                }
            }
            group.dirs.push((controller.clone(), dir));
        }
        let set_up = || -> io::Result<()> {
            group.write("pids", "pids.max", &pids_max.to_string())?;
            if group.pure {
                group.write("memory", "memory.swap.max", "0").or_else(ignore_missing)?;
            } else {
                group.write("memory", "memory.swappiness", "0").or_else(ignore_missing)?;
                group.write("cpu", "cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
            }
            Ok(())
        };
        if let Err(error) = set_up() {
            group.remove();
            return Err(error);
        }
        Ok(group)
    }

    /// Removes our directories; they are empty by then.
    pub fn remove(&self) {
        for (_, root) in &self.roots {
            sweep(root);
        }
        if let Layout::Pure { base } = &self.layout {
            undelegate(base);
        }
    }

    /// Whether limits have v2's form.
    #[must_use]
    pub const fn is_pure(&self) -> bool {
        self.layout.is_pure()
    }

    /// What all sandboxes together use: the two files of [`read_use`].
    ///
    /// # Errors
    /// When one is missing.
    pub fn meters(&self) -> io::Result<[File; 2]> {
        let is_memory = |(name, _): &&(String, PathBuf)| name.is_empty() || name == "memory";
        let root =
            self.roots.iter().find(is_memory).map_or(Path::new("/nonexistent"), |(_, root)| root.as_path());
        let total = if self.is_pure() { "memory.current" } else { "memory.usage_in_bytes" };
        Ok([File::open(root.join(total))?, File::open(root.join("memory.stat"))?])
    }

    /// How groups are frozen here.
    #[must_use]
    pub fn freezer(&self) -> Freezer {
        if self.roots.iter().any(|(name, _)| name == FREEZER) { Freezer::V1 } else { Freezer::V2 }
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Kills and removes every group below `root`, then `root`. Best effort: what is still busy stays for the next
/// start.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let dir = entry.path();
        if !dir.is_dir() {
            continue;
        }
        if fs::write(dir.join("cgroup.kill"), "1").is_err() {
            let frozen = dir.join(Freezer::V1.file());
            if frozen.exists() {
                // In v1 what is frozen does not die; if this fails the group stays for the next start.
                fs::write(frozen, Freezer::V1.text(false)).ok();
            }
            for pid in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
                if let Ok(pid) = pid.parse() {
                    // A process that is gone already is what we want.
                    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).ok();
                }
            }
        }
        fs::remove_dir(&dir).ok();
    }
    fs::remove_dir(root).ok();
}

/// The group of one sandbox.
#[derive(Debug)]
pub struct Group {
    pure: bool,
    dirs: Vec<(String, PathBuf)>,
}

impl Group {
    fn dir(&self, controller: &str) -> &Path {
        let fits = |(name, _): &&(String, PathBuf)| name.is_empty() || name == controller;
        self.dirs.iter().find(fits).map_or(Path::new("/nonexistent"), |(_, dir)| dir.as_path())
    }

    fn write(&self, controller: &str, file: &str, value: &str) -> io::Result<()> {
        let path = self.dir(controller).join(file);
        OpenOptions::new().write(true).open(&path)?.write_all(value.as_bytes())
    }

    /// Directory to be born in (pure v2), see `CLONE_INTO_CGROUP`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn birthplace(&self) -> io::Result<Option<File>> {
        if self.pure { File::open(self.dir("")).map(Some) } else { Ok(None) }
    }

    /// Files into which a member writes `0` to join (v1).
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn doors(&self) -> io::Result<Vec<File>> {
        if self.pure {
            return Ok(Vec::new());
        }
        let open =
            |(_, dir): &(String, PathBuf)| OpenOptions::new().write(true).open(dir.join("cgroup.procs"));
        self.dirs.iter().map(open).collect()
    }

    /// Sets the hard memory limit; swap stays off.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn limit_memory(&self, megabytes: u32) -> io::Result<()> {
        let bytes = (u64::from(megabytes) << 20).to_string();
        if self.pure {
            return self.write("memory", "memory.max", &bytes);
        }
        self.write("memory", "memory.limit_in_bytes", &bytes)?;
        self.write("memory", "memory.memsw.limit_in_bytes", &bytes).or_else(ignore_missing)
    }

    /// Lets those who were just killed end with all the CPU there is: many of them, in a small share, would take minutes; and
    /// frozen ones would not end at all in v1.
    pub fn hurry(&self) {
        let (file, none) = if self.pure { ("cpu.max", "max") } else { ("cpu.cfs_quota_us", "-1") };
        // At worst they take longer.
        self.write("cpu", file, none).ok();
        if self.freezer() == Freezer::V1 {
            // What is frozen would not end; what is not takes no notice.
            self.write(FREEZER, Freezer::V1.file(), Freezer::V1.text(false)).ok();
        }
    }

    fn freezer(&self) -> Freezer {
        if self.dirs.iter().any(|(name, _)| name == FREEZER) { Freezer::V1 } else { Freezer::V2 }
    }

    /// The four files that the daemon keeps: highest memory use, out-of-memory events, CPU limit, freezer.
    ///
    /// # Errors
    /// When one is missing.
    pub fn files(&self) -> io::Result<[File; 4]> {
        let (peak, events, cpu) = if self.pure {
            ("memory.peak", "memory.events", "cpu.max")
        } else {
            ("memory.max_usage_in_bytes", "memory.oom_control", "cpu.cfs_quota_us")
        };
        let memory = self.dir("memory");
        // Linux 5.19 brought `memory.peak` to v2; before, what is used when it is read is all there is to know.
        let peak = if memory.join(peak).exists() { peak } else { "memory.current" };
        let cpu = OpenOptions::new().write(true).open(self.dir("cpu").join(cpu))?;
        let freezer = self.freezer();
        let tree = self.dir(if freezer == Freezer::V1 { FREEZER } else { UNIFIED });
        let freezer = OpenOptions::new().write(true).open(tree.join(freezer.file()))?;
        Ok([File::open(memory.join(peak))?, File::open(memory.join(events))?, cpu, freezer])
    }

    /// Removes the group; false while the kernel still sees a member.
    pub fn remove(&self) -> bool {
        let gone = |dir: &Path| match fs::remove_dir(dir) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        // Every directory is tried, also after one that is still busy.
        self.dirs.iter().filter(|(_, dir)| !gone(dir)).count() == 0
    }
}

/// Reads the highest memory use, bytes, from a kept descriptor.
///
/// # Errors
/// When the group is gone.
pub fn read_peak(file: &File) -> io::Result<u64> {
    let mut buffer = [0; 32];
    let length = file.read_at(&mut buffer, 0)?;
    let text = String::from_utf8_lossy(&buffer[..length]);
    text.trim().parse().map_err(|_| io::Error::other("memory use is not a number"))
}

/// Reads what is in use, bytes, from kept descriptors of a group's total and of its `memory.stat`: all but what the kernel
/// can drop without asking, pages of files that nobody has touched for a while.
///
/// # Errors
/// When the group is gone.
pub fn read_use(total: &File, stat: &File) -> io::Result<u64> {
    let mut buffer = [0; STAT_BYTES_MAX];
    let length = stat.read_at(&mut buffer, 0)?;
    let text = String::from_utf8_lossy(&buffer[..length]);
    // v1 tells of a group alone and, with this prefix, of all below it; v2 always of all.
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let idle = of("total_inactive_file ").or_else(|| of("inactive_file ")).unwrap_or(0);
    Ok(read_peak(total)?.saturating_sub(idle))
}

/// Reads how many processes were killed for want of memory, from a kept descriptor.
///
/// # Errors
/// When the group is gone.
pub fn read_oom_kills(file: &File) -> io::Result<u64> {
    let mut buffer = [0; 512];
    let length = file.read_at(&mut buffer, 0)?;
    let text = String::from_utf8_lossy(&buffer[..length]);
    Ok(text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0))
}

/// The text for the CPU limit file that grants `millicores` thousandths of a core, or all there are.
#[must_use]
pub fn cpu_limit_text(pure: bool, millicores: Option<u64>) -> String {
    let quota = millicores.map(|millicores| (CPU_PERIOD_US * millicores / 1000).max(CPU_QUOTA_MIN_US));
    match (pure, quota) {
        (true, Some(quota)) => format!("{quota} {CPU_PERIOD_US}"),
        (true, None) => format!("max {CPU_PERIOD_US}"),
        (false, Some(quota)) => quota.to_string(),
        (false, None) => "-1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_limit_is_never_below_what_the_kernel_takes() {
        assert_eq!(cpu_limit_text(false, Some(10)), "1000");
        assert_eq!(cpu_limit_text(true, Some(1000)), "20000 20000");
    }

    #[test]
    fn what_the_kernel_can_drop_is_not_in_use() {
        let file = |text: &str| {
            let memory = nix::sys::memfd::memfd_create(c"test", nix::sys::memfd::MFdFlags::MFD_CLOEXEC);
            let mut file = File::from(memory.expect("makes"));
            file.write_all(text.as_bytes()).expect("writes");
            file
        };
        let total = file("1000\n");
        let used = |stat: &str| read_use(&total, &file(stat)).expect("reads");
        assert_eq!(used("anon 5\ninactive_file 300\nactive_file 7\n"), 700);
        assert_eq!(used("inactive_file 1\ntotal_inactive_file 400\n"), 600);
        assert_eq!(used("inactive_file 5000\n"), 0);
    }
}
