//! Control groups: one group per sandbox, on pure v2 hosts and on hybrid ones (v1 controllers).
//!
//! Hides the difference. Hot paths keep descriptors open and never open a file by path; members are placed while
//! a sandbox is being built, because the first v1 placement after idle stalls on an RCU grace period (9–12 ms).
//! It does not decide limits; where in the hierarchies the groups are made is `hierarchy.rs`.

pub use crate::hierarchy::Layout;
use crate::hierarchy::{delegate, undelegate};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The kernel's scheduler period for CPU quotas, microseconds; what Lambda uses (lambda-behaviour §3.3).
pub const CPU_PERIOD_US: u64 = 20_000;
/// The smallest quota that the kernel takes.
const CPU_QUOTA_MIN_US: u64 = 1000;
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

    /// Lets those who were just killed end with all the CPU there is: many of them, in a small share, would take minutes.
    pub fn hurry(&self) {
        let (file, none) = if self.pure { ("cpu.max", "max") } else { ("cpu.cfs_quota_us", "-1") };
        // At worst they take longer.
        self.write("cpu", file, none).ok();
    }

    /// The three files that the daemon keeps: highest memory use, out-of-memory events, CPU limit.
    ///
    /// # Errors
    /// When one is missing.
    pub fn files(&self) -> io::Result<[File; 3]> {
        let (peak, events, cpu) = if self.pure {
            ("memory.peak", "memory.events", "cpu.max")
        } else {
            ("memory.max_usage_in_bytes", "memory.oom_control", "cpu.cfs_quota_us")
        };
        let memory = self.dir("memory");
        // Linux 5.19 brought `memory.peak` to v2; before, what is used when it is read is all there is to know.
        let peak = if memory.join(peak).exists() { peak } else { "memory.current" };
        let cpu = OpenOptions::new().write(true).open(self.dir("cpu").join(cpu))?;
        Ok([File::open(memory.join(peak))?, File::open(memory.join(events))?, cpu])
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
}
