//! Which environments there are and were, as far as the reasons of decisions need it: whose each is, why it went.
//!
//! The scheduler's driver tells; the scheduler itself forgets an environment with its last word. Bounded: of those that are
//! gone, the last [`DEPARTED_MAX`] are remembered.

use super::decisions::{Assignment, ColdCause, Evicted, Label};
use hearth_logic::scheduler::{Decision, StartType, Why};
use hearth_logic::{EnvironmentId, RevisionId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Environments that are gone and still known.
const DEPARTED_MAX: usize = 1_024;

struct Resident {
    revision: RevisionId,
    label: Arc<Label>,
    /// Set once it is to go.
    why: Option<Why>,
}

/// What is known of one revision's environments, so that nobody has to count them.
#[derive(Default)]
struct Kin {
    /// Those that are there and are to stay.
    staying: usize,
    /// Those that are to go or are gone.
    ended: BTreeMap<EnvironmentId, Why>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Residents {
    kin: BTreeMap<RevisionId, Kin>,
    present: BTreeMap<EnvironmentId, Resident>,
    departed: BTreeMap<EnvironmentId, Resident>,
}

impl Residents {
    /// It is being made.
    pub(super) fn comes(&mut self, environment: EnvironmentId, revision: RevisionId, label: &Arc<Label>) {
        self.present.insert(environment, Resident { revision, label: Arc::clone(label), why: None });
        self.kin.entry(revision).or_default().staying += 1;
    }

    /// It is to go; true if that is news.
    pub(super) fn leaves(&mut self, environment: EnvironmentId, why: Why) -> bool {
        let Some(resident) = self.present.get_mut(&environment) else { return false };
        if resident.why.is_some() {
            return false;
        }
        resident.why = Some(why);
        let kin = self.kin.entry(resident.revision).or_default();
        kin.staying = kin.staying.saturating_sub(1);
        kin.ended.insert(environment, why);
        true
    }

    /// Nothing of it is left. One that nobody sent away never served, and is no reason for anything.
    pub(super) fn gone(&mut self, environment: EnvironmentId) {
        let Some(resident) = self.present.remove(&environment) else { return };
        if resident.why.is_none() {
            self.forget(resident.revision, |kin| kin.staying = kin.staying.saturating_sub(1));
            return;
        }
        self.departed.insert(environment, resident);
        if self.departed.len() > DEPARTED_MAX
            && let Some((oldest, resident)) = self.departed.pop_first()
        {
            self.forget(resident.revision, |kin| {
                kin.ended.remove(&oldest);
            });
        }
    }

    fn forget(&mut self, revision: RevisionId, change: impl FnOnce(&mut Kin)) {
        let Some(kin) = self.kin.get_mut(&revision) else { return };
        change(kin);
        if kin.staying == 0 && kin.ended.is_empty() {
            self.kin.remove(&revision);
        }
    }

    /// What is to be said of a decision.
    pub(super) fn assignment<'a>(
        &self,
        environment: EnvironmentId,
        revision: RevisionId,
        decision: &'a Decision,
    ) -> Assignment<'a> {
        let is_cold = decision.start == StartType::Cold;
        let others = if is_cold { self.others(environment, revision) } else { 0 };
        let cause = is_cold.then(|| match (others, self.last_end(revision)) {
            (0, None) => ColdCause::First,
            (0, Some(why)) => ColdCause::Gone(why),
            (_, _) => ColdCause::AllTaken,
        });
        let evicted = decision.evicted.iter().map(|gone| self.evicted(*gone)).collect();
        Assignment { decision, cause, others, evicted }
    }

    fn others(&self, environment: EnvironmentId, revision: RevisionId) -> usize {
        let own = self.present.get(&environment);
        let is_counted = own.is_some_and(|own| own.revision == revision && own.why.is_none());
        self.kin.get(&revision).map_or(0, |kin| kin.staying.saturating_sub(usize::from(is_counted)))
    }

    /// Why the youngest environment of the revision that is gone, or going, went.
    fn last_end(&self, revision: RevisionId) -> Option<Why> {
        self.kin.get(&revision)?.ended.last_key_value().map(|(_, why)| *why)
    }

    fn evicted(&self, environment: EnvironmentId) -> Evicted {
        let found = self.present.get(&environment).or_else(|| self.departed.get(&environment));
        Evicted { environment, label: found.map(|resident| Arc::clone(&resident.label)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const REVISION: RevisionId = RevisionId(1);

    fn label() -> Arc<Label> {
        Arc::new(Label { function: "f".to_owned(), version: "1".to_owned() })
    }

    fn decision(start: StartType, evicted: &[u64]) -> Decision {
        Decision {
            start,
            spilled_over: false,
            waited: Duration::ZERO,
            waited_for: None,
            evicted: evicted.iter().map(|id| EnvironmentId(*id)).collect(),
        }
    }

    fn cause(residents: &Residents, environment: u64) -> (Option<ColdCause>, usize) {
        let cold = decision(StartType::Cold, &[]);
        let assignment = residents.assignment(EnvironmentId(environment), REVISION, &cold);
        (assignment.cause, assignment.others)
    }

    #[test]
    fn a_cold_start_has_one_of_three_causes() {
        let mut residents = Residents::default();
        residents.comes(EnvironmentId(1), REVISION, &label());
        assert_eq!(cause(&residents, 1), (Some(ColdCause::First), 0));
        residents.comes(EnvironmentId(2), REVISION, &label());
        assert_eq!(cause(&residents, 2), (Some(ColdCause::AllTaken), 1));
        for (environment, why) in [(1, Why::IdleTimeout), (2, Why::Evicted)] {
            residents.leaves(EnvironmentId(environment), why);
            residents.gone(EnvironmentId(environment));
        }
        residents.comes(EnvironmentId(3), REVISION, &label());
        assert_eq!(cause(&residents, 3), (Some(ColdCause::Gone(Why::Evicted)), 0));
        let warm = decision(StartType::Warm, &[]);
        let other = residents.assignment(EnvironmentId(9), RevisionId(2), &warm);
        assert_eq!(other.cause, None, "a warm start needs no cause");
    }

    #[test]
    fn the_first_reason_to_go_is_the_one_that_counts() {
        let mut residents = Residents::default();
        residents.comes(EnvironmentId(1), REVISION, &label());
        assert!(residents.leaves(EnvironmentId(1), Why::IdleTimeout));
        assert!(!residents.leaves(EnvironmentId(1), Why::Draining), "it has been told");
        assert_eq!(
            cause(&residents, 2),
            (Some(ColdCause::Gone(Why::IdleTimeout)), 0),
            "it is on its way out"
        );
    }

    #[test]
    fn an_environment_that_never_came_up_is_no_cause() {
        let mut residents = Residents::default();
        residents.comes(EnvironmentId(1), REVISION, &label());
        residents.gone(EnvironmentId(1));
        assert_eq!(cause(&residents, 2), (Some(ColdCause::First), 0));
        assert!(residents.kin.is_empty(), "nothing is known of it any more");
    }

    #[test]
    fn evicted_environments_are_named_also_when_they_are_gone_and_only_so_many_are_kept() {
        let mut residents = Residents::default();
        for number in 0..2 * DEPARTED_MAX as u64 {
            residents.comes(EnvironmentId(number), REVISION, &label());
            residents.leaves(EnvironmentId(number), Why::Evicted);
            residents.gone(EnvironmentId(number));
        }
        assert_eq!(residents.departed.len(), DEPARTED_MAX);
        assert_eq!(residents.kin[&REVISION].ended.len(), DEPARTED_MAX);
        let last = 2 * DEPARTED_MAX as u64 - 1;
        let made_room = decision(StartType::Cold, &[0, last]);
        let evicted = residents.assignment(EnvironmentId(9_999), RevisionId(2), &made_room).evicted;
        let names: Vec<_> =
            evicted.iter().map(|it| it.label.as_ref().map(|label| label.function.as_str())).collect();
        assert_eq!(names, [None, Some("f")]);
    }
}
