//! The order in which a sandbox is made, as data: pure, so that its laws are tests.
//!
//! `forker/build.rs` performs the steps; the names appear in error messages.

/// One step of making a sandbox, performed by its future pid 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Become a member of the control groups (v1; on v2 the process is born there).
    JoinGroups,
    /// Loopback up, the link to the host made, listeners bound.
    Network,
    /// Host name, own cgroup namespace.
    Names,
    /// The read-only root, `/proc`, `/tmp`, masks; then it becomes `/`, and the host is gone.
    Root,
    /// Resource limits.
    Limits,
    /// A user namespace in which only the function's uid exists.
    UserNamespace,
    /// Become that uid.
    Identity,
    /// No capability, ever again.
    Capabilities,
    /// set-uid programs do nothing.
    NoNewPrivileges,
    /// Nobody of the same uid may look into pid 1.
    Undumpable,
    /// Die with the forker. After the last change of credentials, which would reset it.
    DieWithForker,
    /// The system call filter; inherited by all that follows.
    Filter,
}

/// All steps, in order.
#[must_use]
pub const fn steps() -> [Step; 12] {
    [
        Step::JoinGroups,
        Step::Network,
        Step::Names,
        Step::Root,
        Step::Limits,
        Step::UserNamespace,
        Step::Identity,
        Step::Capabilities,
        Step::NoNewPrivileges,
        Step::Undumpable,
        Step::DieWithForker,
        Step::Filter,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: Step) -> usize {
        steps().iter().position(|s| *s == step).expect("every step is in the plan")
    }

    #[test]
    fn the_death_signal_follows_the_last_change_of_credentials() {
        assert!(at(Step::DieWithForker) > at(Step::Identity));
        assert!(at(Step::DieWithForker) > at(Step::Capabilities));
    }

    #[test]
    fn everything_privileged_comes_before_the_user_namespace() {
        for step in [Step::JoinGroups, Step::Network, Step::Names, Step::Root, Step::Limits] {
            assert!(at(step) < at(Step::UserNamespace), "{step:?}");
        }
    }

    #[test]
    fn the_filter_comes_last_and_after_no_new_privileges() {
        assert_eq!(at(Step::Filter), steps().len() - 1);
        assert!(at(Step::NoNewPrivileges) < at(Step::Filter));
    }
}
