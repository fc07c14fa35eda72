//! Whether one more environment fits, and who would have to go for it.
//!
//! Two bounds: what is promised (capacity × overcommit) and what is used in fact, as measured now and then. Between two
//! measurements each environment on its way counts with a reserve, and at most one idle environment goes for what is used:
//! what its going brings shows in the next measurement.

use super::Fleet;
use crate::{EnvironmentId, SchedulerLimits};

/// Whether one more environment fits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Fits,
    /// Once these are gone; none of them has work.
    Evict(Vec<EnvironmentId>),
    /// Not before something else is gone; nor does a smaller one.
    Wait,
    /// Not before something that runs is gone; a smaller one may.
    TooLarge,
    /// Not even on an empty box.
    Never,
}

/// What the machine felt last.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// Unknown until it is told.
    measured_mb: Option<u64>,
    stalled: bool,
    relieved: bool,
}

impl Fleet {
    /// Whether an environment of that size may be started.
    pub(crate) fn room(&self, memory_mb: u32, limits: &SchedulerLimits) -> Room {
        let (memory_mb, budget_mb) = (u64::from(memory_mb), limits.memory_budget_mb());
        if memory_mb > budget_mb {
            return Room::Never;
        }
        match self.excess(memory_mb, 1, limits) {
            Room::Fits if self.is_held_back(limits) => self.relief(),
            room => room,
        }
    }

    /// What the machine feels counts from now on.
    pub(crate) fn feel(&mut self, measured_mb: u64, stalled: bool) {
        self.pressure = Pressure { measured_mb: Some(measured_mb), stalled, relieved: false };
    }

    /// True while memory that is used in fact, or stalls, hold starts back. One that would be the only one is not held back.
    pub(crate) fn is_held_back(&self, limits: &SchedulerLimits) -> bool {
        if self.leaving == self.len() {
            return false;
        }
        let on_their_way = u64::try_from(self.starting + 1).unwrap_or(u64::MAX);
        let reserve_mb = limits.start_reserve_mb.saturating_mul(on_their_way);
        let used = self.pressure.measured_mb.map_or(0, |measured_mb| measured_mb.saturating_add(reserve_mb));
        self.pressure.stalled || used > limits.memory_capacity_mb
    }

    /// One idle environment to give up because more memory is used in fact than there is.
    pub(crate) fn overused(&self, limits: &SchedulerLimits) -> Option<EnvironmentId> {
        if self.pressure.measured_mb.is_none_or(|measured_mb| measured_mb <= limits.memory_capacity_mb)
            || self.pressure.relieved
        {
            return None;
        }
        self.idle().next()
    }

    /// Whether somebody may have to go soon: more than half of what may be promised is, or half of the places are taken.
    pub(crate) fn is_short_of_room(&self, limits: &SchedulerLimits) -> bool {
        let environments_max = usize::try_from(limits.environments_max).unwrap_or(usize::MAX);
        let presses = self.pressure.stalled
            || self
                .pressure
                .measured_mb
                .is_some_and(|measured_mb| measured_mb > limits.memory_capacity_mb / 2);
        presses || self.committed_mb > limits.memory_budget_mb() / 2 || self.len() > environments_max / 2
    }

    /// One was given up for it: what that brings is seen at the next measurement.
    pub(crate) fn relieve(&mut self) {
        self.pressure.relieved = true;
    }

    fn relief(&self) -> Room {
        match self.idle().next() {
            Some(first) if !self.pressure.relieved => Room::Evict(vec![first]),
            Some(_) | None => Room::Wait,
        }
    }

    /// Idle environments to give up because the limits were lowered.
    pub(crate) fn over_limits(&self, limits: &SchedulerLimits) -> Vec<EnvironmentId> {
        match self.excess(0, 0, limits) {
            Room::Evict(victims) => victims,
            // Not enough is idle: all of it goes.
            Room::Wait if self.lacks(0, 0, limits) != (0, 0) => self.idle().collect(),
            Room::TooLarge => self.idle().collect(),
            Room::Fits | Room::Wait | Room::Never => Vec::new(),
        }
    }

    fn excess(&self, memory_mb: u64, places: usize, limits: &SchedulerLimits) -> Room {
        if self.over(memory_mb, places, limits) == (0, 0) {
            return Room::Fits;
        }
        let (lack_mb, lack) = self.lacks(memory_mb, places, limits);
        if (lack_mb, lack) == (0, 0) || lack > self.idle.len() {
            return Room::Wait;
        }
        if lack_mb > self.idle.mb() {
            return Room::TooLarge;
        }
        let (mut victims, mut freed_mb) = (Vec::new(), 0);
        for id in self.idle() {
            if freed_mb >= lack_mb && victims.len() >= lack {
                break;
            }
            freed_mb += self.get(id).map_or(0, |environment| environment.memory_mb);
            victims.push(id);
        }
        Room::Evict(victims)
    }

    /// How far that much more would go over the limits: MB and environments.
    fn over(&self, memory_mb: u64, places: usize, limits: &SchedulerLimits) -> (u64, usize) {
        let environments_max = usize::try_from(limits.environments_max.max(1)).unwrap_or(usize::MAX);
        let over_mb = (self.committed_mb + memory_mb).saturating_sub(limits.memory_budget_mb());
        (over_mb, (self.len() + places).saturating_sub(environments_max))
    }

    /// What of that is not being freed already.
    fn lacks(&self, memory_mb: u64, places: usize, limits: &SchedulerLimits) -> (u64, usize) {
        let (over_mb, over) = self.over(memory_mb, places, limits);
        (over_mb.saturating_sub(self.leaving_mb), over.saturating_sub(self.leaving))
    }
}
