//! Tells the scheduler what the machine feels: how much memory environments use in fact, and whether tasks stall for want of it.
//!
//! Functions are promised more memory than there is (`limits.overcommit`), since few use what they may; this is what keeps
//! the promise from being called in all at once. It decides nothing: what follows from it is the scheduler's.

use super::invoke::Shared;
use super::scheduler::Order;
use hearth_sandbox::cgroup;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The kernel's own account of who waits for memory.
const PSI: &str = "/proc/pressure/memory";
/// Tasks stall when, over ten seconds, all of them waited for memory for more than this share of the time, percent.
const STALLED_PERCENT: f64 = 10.0;

/// Looks for as long as the daemon lives.
pub(crate) async fn watch([total, stat]: [File; 2], shared: Arc<Shared>) {
    let psi = File::open(PSI).ok();
    if psi.is_none() {
        tracing::info!(
            "the kernel does not say who waits for memory (no {PSI}): starts go by what is used alone"
        );
    }
    let mut told = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(bytes) = cgroup::read_use(&total, &stat) else { continue };
        let stalled =
            psi.as_ref().and_then(all_waited_percent).is_some_and(|percent| percent > STALLED_PERCENT);
        shared.metrics.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        shared.metrics.memory_stalled.set(i64::from(stalled));
        let measured_mb = bytes.div_ceil(1 << 20);
        // A machine at rest says the same again and again.
        if told.replace((measured_mb, stalled)) != Some((measured_mb, stalled)) {
            shared.scheduler.order(Order::Pressure { measured_mb, stalled });
        }
    }
}

/// The share of the last ten seconds in which every task waited for memory, percent.
fn all_waited_percent(psi: &File) -> Option<f64> {
    let mut buffer = [0; 256];
    let length = psi.read_at(&mut buffer, 0).ok()?;
    parse(&String::from_utf8_lossy(&buffer[..length]))
}

fn parse(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("full "))?;
    line.split(' ').find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_time_in_which_all_waited_is_read() {
        let text = "some avg10=40.18 avg60=0.05 avg300=0.12 total=95967584\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=3\n";
        assert_eq!(parse(text), Some(12.5));
        assert_eq!(parse("some avg10=40.18 avg60=0.05 avg300=0.12 total=95967584\n"), None);
        assert_eq!(parse(""), None);
    }
}
