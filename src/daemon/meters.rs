//! The files of a sandbox's control group that its environment keeps open: what it has used, what it gets, whether it stands still.
//!
//! Nothing here decides when.

use super::invoke::Shared;
use hearth_logic::limits::MEMORY_PER_CORE_MB;
use hearth_sandbox::cgroup::{self, Freezer};
use std::fs::File;
use std::io::{self, Write};

/// The kept descriptors of one group.
pub(super) struct Meters {
    memory_peak: File,
    oom_events: File,
    cpu: File,
    freezer: File,
    oom_seen: u64,
    pure_v2: bool,
    form: Freezer,
}

impl Meters {
    /// Over the files that came with the sandbox: highest use, out-of-memory events, CPU limit, freezer.
    pub(super) fn new([memory_peak, oom_events, cpu, freezer]: [File; 4], shared: &Shared) -> Self {
        let (pure_v2, form) = (shared.pure_v2, shared.freezer);
        Self { memory_peak, oom_events, cpu, freezer, oom_seen: 0, pure_v2, form }
    }

    /// Highest memory use, MiB.
    pub(super) fn peak_mb(&self) -> u64 {
        cgroup::read_peak(&self.memory_peak).map_or(0, |bytes| bytes.div_ceil(1 << 20))
    }

    /// Whether the kernel killed for want of memory since the last call.
    pub(super) fn ran_out_of_memory(&mut self) -> bool {
        let kills = cgroup::read_oom_kills(&self.oom_events).unwrap_or(self.oom_seen);
        std::mem::replace(&mut self.oom_seen, kills) < kills
    }

    /// Grants a share of the cores in proportion to memory; `None` lifts the limit, as initialisation runs unthrottled.
    pub(super) fn limit_cpu(&mut self, memory_mb: Option<u32>) {
        let millicores =
            memory_mb.map(|memory_mb| u64::from(memory_mb) * 1000 / u64::from(MEMORY_PER_CORE_MB));
        let text = cgroup::cpu_limit_text(self.pure_v2, millicores);
        if let Err(error) = self.cpu.write_all(text.as_bytes()) {
            tracing::warn!(%error, "the CPU limit could not be set");
        }
    }

    /// Stops or resumes everything inside.
    pub(super) fn freeze(&self, frozen: bool) -> io::Result<()> {
        self.form.set(&self.freezer, frozen)
    }
}
