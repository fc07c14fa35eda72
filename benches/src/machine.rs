//! What this machine is, as far as it explains the figures.

use serde_json::{Value, json};
use std::fs;

fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// Processor, memory, kernel and the load that was there before. `null` where the kernel does not say.
pub(crate) fn describe() -> Value {
    json!({
        "cpu": field("/proc/cpuinfo", "model name"),
        "cpus": std::thread::available_parallelism().map(std::num::NonZero::get).ok(),
        "cpus_allowed": field("/proc/self/status", "Cpus_allowed_list"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": line("/proc/sys/kernel/osrelease"),
        "governor": line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_before": line("/proc/loadavg"),
    })
}
