//! Whether what the daemon asks for is acceptable: the one place where the privileged loop believes nothing.
//!
//! Pure, so that every refusal stands in a table of the tests. Whether there is room for it now is decided in `serve.rs`.

use crate::spec::{Contents, LaunchSpec, NetworkClass};

/// Launches that wait for a sandbox; the daemon bounds its own starts far below.
const WAITING_MAX: usize = 4096;
/// Larger than any function may ask for (10,240), and small enough for a loop device.
const TMP_MB_MAX: u32 = 32_768;

/// What there is to be had.
pub(super) struct Offer<'a> {
    /// Which runtimes.
    pub(super) knows: &'a dyn Fn(&str) -> bool,
    /// Whether network class `nat` was set up.
    pub(super) nat: bool,
    /// How many launches wait already.
    pub(super) waiting: usize,
}

/// Refuses, in words for the daemon's log, what must not be made.
pub(super) fn launch(spec: &LaunchSpec, offer: &Offer<'_>) -> Result<(), String> {
    match &spec.contents {
        Contents::Task { runtime, .. } if !(offer.knows)(runtime) => {
            return Err(format!("no runtime {runtime:?} on this host"));
        }
        Contents::Task { .. } | Contents::Root { .. } => {}
    }
    if !spec.user.is_allowed() {
        return Err("no function is root".to_owned());
    }
    if spec.network == NetworkClass::Nat && !offer.nat {
        return Err("no sandbox of this daemon has a network".to_owned());
    }
    if spec.tmp_mb == 0 || spec.tmp_mb > TMP_MB_MAX || spec.memory_mb == 0 {
        return Err("a size is out of range".to_owned());
    }
    if offer.waiting >= WAITING_MAX {
        return Err("too many launches are waiting".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Digest, InnerUser};

    fn spec() -> LaunchSpec {
        let contents =
            Contents::Task { code: Digest([1; 32]), layers: None, runtime: "python3.12".to_owned() };
        LaunchSpec {
            contents,
            user: InnerUser::default(),
            memory_mb: 128,
            tmp_mb: 512,
            network: NetworkClass::None,
        }
    }

    fn refusal(spec: &LaunchSpec, nat: bool, waiting: usize) -> Option<String> {
        launch(spec, &Offer { knows: &|name| name == "python3.12", nat, waiting }).err()
    }

    #[test]
    fn each_wrong_thing_is_refused_for_what_it_is() {
        assert_eq!(refusal(&spec(), false, 0), None);
        assert_eq!(refusal(&LaunchSpec { tmp_mb: TMP_MB_MAX, ..spec() }, false, WAITING_MAX - 1), None);
        assert_eq!(refusal(&LaunchSpec { network: NetworkClass::Nat, ..spec() }, true, 0), None);
        let root = Contents::Root { tree: Digest([2; 32]) };
        assert_eq!(refusal(&LaunchSpec { contents: root, ..spec() }, false, 0), None);

        let absent = Contents::Task { code: Digest([1; 32]), layers: None, runtime: "../root".to_owned() };
        let user = |uid, gid| LaunchSpec { user: InnerUser { uid, gid }, ..spec() };
        for (wrong, word) in [
            (LaunchSpec { contents: absent, ..spec() }, "no runtime"),
            (user(0, 993), "root"),
            (user(u32::MAX, 993), "root"),
            (user(993, u32::MAX), "root"),
            (LaunchSpec { network: NetworkClass::Nat, ..spec() }, "network"),
            (LaunchSpec { tmp_mb: 0, ..spec() }, "size"),
            (LaunchSpec { tmp_mb: TMP_MB_MAX + 1, ..spec() }, "size"),
            (LaunchSpec { memory_mb: 0, ..spec() }, "size"),
        ] {
            let said = refusal(&wrong, false, 0);
            assert!(said.as_deref().is_some_and(|said| said.contains(word)), "{wrong:?}: {said:?}");
        }
        let crowd = refusal(&spec(), false, WAITING_MAX);
        assert!(crowd.is_some_and(|said| said.contains("waiting")));
    }
}
