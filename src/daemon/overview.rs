//! What somebody sees who looks on: the scheduler's state with names, and with it what the last records come to.
//!
//! Made when asked for; between two questions it costs nothing. Functions beyond [`FUNCTIONS_MAX`] are left out, the
//! least used first, and the answer says how many there are.

use super::decisions::{Tally, Window};
use super::revision::Revision;
use hearth_logic::scheduler::{States, View};
use hearth_logic::{FunctionId, Scaling, Scheduler};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Functions that one answer lists.
const FUNCTIONS_MAX: usize = 1_000;

/// See the module.
pub(crate) struct Overview {
    view: View,
    names: BTreeMap<FunctionId, String>,
}

/// One function as it is now.
#[derive(Default)]
struct Present {
    environments: States,
    waiting: usize,
    running: u32,
    reserved: Option<u32>,
}

impl Overview {
    /// Of a scheduler at this moment; the revisions say what its functions are called.
    pub(super) fn of<'a>(machine: &Scheduler, revisions: impl Iterator<Item = &'a Arc<Revision>>) -> Self {
        let names = revisions.map(|revision| (revision.function, revision.name.clone())).collect();
        Self { view: machine.view(), names }
    }

    /// The limits in force, for programs: what they are called in the configuration, and what two of them come to.
    pub(crate) fn limits(&self) -> Value {
        let limits = &self.view.limits;
        let (scaling, bucket) = match limits.scaling {
            Scaling::Unlimited => ("unlimited", None),
            Scaling::PerFunction { burst, per_minute } => ("2023", Some((burst, per_minute))),
            Scaling::Classic { burst, per_minute } => ("classic", Some((burst, per_minute))),
        };
        json!({
            "account_concurrency": limits.account_concurrency,
            "unreserved": self.view.unreserved,
            "memory_capacity_mb": limits.memory_capacity_mb,
            "overcommit": limits.memory_overcommit,
            "environments_max": limits.environments_max,
            "concurrent_starts": limits.starts_max,
            "idle_timeout_s": limits.idle_timeout.as_secs_f64(),
            "recycle_after_s": limits.recycle_after.unwrap_or_default().as_secs(),
            "scaling": scaling,
            "scaling_burst": bucket.map(|(burst, _)| burst),
            "scaling_per_minute": bucket.map(|(_, per_minute)| per_minute),
            "requests_per_concurrency": limits.requests_per_concurrency,
            "requests_per_environment": limits.requests_per_environment,
            "waiting_max": limits.waiters_max,
            "wait_max_s": limits.wait_max.as_secs_f64(),
        })
    }

    /// Everything, for programs. `covered` is how much time the window really spans.
    pub(crate) fn json(&self, mut window: Window, covered: Duration) -> Value {
        let seconds = covered.as_secs_f64();
        let view = &self.view;
        let mut all = States::default();
        for pool in &view.pools {
            add(&mut all, pool.environments);
        }
        let mut present = self.present();
        for name in window.functions.keys().filter(|name| !name.is_empty()) {
            present.entry(name.clone()).or_default();
        }
        let total = present.len();
        let mut listed: Vec<(String, Present, Tally)> = present
            .into_iter()
            .map(|(name, now)| {
                let recent = window.functions.remove(&name).unwrap_or_default();
                (name, now, recent)
            })
            .collect();
        listed.sort_by_key(|(_, now, recent)| std::cmp::Reverse((now.running, recent.invocations())));
        listed.truncate(FUNCTIONS_MAX);
        let functions: Vec<Value> = listed
            .into_iter()
            .map(|(name, now, mut recent)| {
                json!({
                    "function": name,
                    "running": now.running,
                    "waiting": now.waiting,
                    "reserved": now.reserved,
                    "environments": states(now.environments),
                    "recent": recent.json(seconds),
                })
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "window_s": seconds,
            "concurrency": {
                "running": view.running,
                "limit": view.limits.account_concurrency,
                "unreserved_running": view.running_unreserved,
                "unreserved": view.unreserved,
                "waiting": view.census.waiting,
            },
            "environments": states(all),
            "environments_max": view.limits.environments_max,
            "memory_promised_mb": view.census.committed_mb,
            "memory_budget_mb": view.limits.memory_budget_mb(),
            "recent": window.all.json(seconds),
            "functions_total": total,
            "functions": functions,
        })
    }

    /// What a function has reserved, if that is known.
    pub(crate) fn reserved(&self, function: &str) -> Option<u32> {
        let of = |id: &FunctionId| self.names.get(id).is_some_and(|name| name == function);
        self.view.functions.iter().find(|it| of(&it.function))?.reserved
    }

    /// By name. A function that nothing says the name of is left out: it has neither environments nor waiting invocations.
    fn present(&self) -> BTreeMap<String, Present> {
        let mut present: BTreeMap<String, Present> = BTreeMap::new();
        for function in &self.view.functions {
            if let Some(name) = self.names.get(&function.function) {
                let entry = present.entry(name.clone()).or_default();
                entry.running += function.running;
                entry.reserved = entry.reserved.max(function.reserved);
            }
        }
        for pool in &self.view.pools {
            if let Some(name) = self.names.get(&pool.function) {
                let entry = present.entry(name.clone()).or_default();
                entry.waiting += pool.waiting;
                add(&mut entry.environments, pool.environments);
            }
        }
        present
    }
}

fn add(sum: &mut States, more: States) {
    let States { starting, idle, frozen, busy, leaving } = more;
    sum.starting += starting;
    sum.idle += idle;
    sum.frozen += frozen;
    sum.busy += busy;
    sum.leaving += leaving;
}

fn states(states: States) -> Value {
    let States { starting, idle, frozen, busy, leaving } = states;
    json!({ "starting": starting, "idle": idle, "frozen": frozen, "busy": busy, "leaving": leaving })
}
