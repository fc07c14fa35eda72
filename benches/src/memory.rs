//! Memory of processes, as the kernel counts it.

use crate::error::Fault;
use std::fs;

/// Processes that are looked at, at most.
const PROCESSES_MAX: usize = 65_536;

/// Of one process, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    /// All that is resident.
    pub(crate) rss: u64,
    /// Of that, what is no file's.
    pub(crate) anonymous: u64,
}

/// Of one process.
///
/// # Errors
/// When it is gone.
pub(crate) fn of(pid: u32) -> Result<Reading, Fault> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|source| Fault::File { path: path.into(), source })?;
    parse(&text).ok_or_else(|| Fault::Protocol("/proc/…/status without RSS".into()))
}

fn parse(status: &str) -> Option<Reading> {
    Some(Reading { rss: field(status, "VmRSS")?, anonymous: field(status, "RssAnon")? })
}

/// One line's kibibytes as bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Own pages of everything below a process, itself left out, bytes; pages that several of them share count once. What
/// ends meanwhile counts as nothing.
///
/// # Errors
/// When `/proc` cannot be listed.
pub(crate) fn of_children(root: u32) -> Result<u64, Fault> {
    let parent_of = |pid: u32| -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let entries = fs::read_dir("/proc").map_err(Fault::system("list /proc"))?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let known: Vec<(u32, u32)> =
        pids.take(PROCESSES_MAX).filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(known.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    let share = |pid: &u32| field(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss_Anon");
    Ok(family[1..].iter().filter_map(share).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_of_the_status_become_bytes() {
        let text = "Name:\tx\nVmRSS:\t   34512 kB\nRssAnon:\t  18196 kB\n";
        assert_eq!(parse(text), Some(Reading { rss: 34_512 * 1024, anonymous: 18_196 * 1024 }));
        assert_eq!(parse("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let own = of(std::process::id()).expect("is there");
        assert!(own.anonymous > 0 && own.anonymous <= own.rss);
    }
}
