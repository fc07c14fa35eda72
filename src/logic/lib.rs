//! Decisions: functions of (state, time, event). No async, no I/O, no clock, no hash order.
//!
//! Who may run (`admission`), which version (`routing`), where it runs (`scheduler` over `fleet` and `pool`), what it came to
//! (`outcome`), and what a policy says about a request (`policy`). `sim` runs the scheduler's decisions in virtual time.
//! Nothing here knows of sockets, processes, payloads or files.

pub mod admission;
mod environment;
mod exchange;
pub mod few;
mod fleet;
mod idle;
pub mod ids;
mod laws;
pub mod limits;
mod line;
pub mod machine;
pub mod outcome;
pub mod policy;
mod pool;
mod provisioned;
pub mod recording;
pub mod records;
pub mod routing;
mod scaling;
pub mod scheduler;
pub mod sim;
pub mod simulate;
mod table;
pub mod time;
mod timers;

pub use few::Few;
pub use ids::{EnvironmentId, FunctionId, InvocationId, ProvisionedId, RequestId, RevisionId};
pub use limits::{Profile, SchedulerLimits};
pub use machine::Machine;
pub use scaling::{Exceeded, Scaling};
pub use scheduler::Scheduler;
pub use time::{Time, WallTime};
