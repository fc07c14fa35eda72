//! The lifecycle's laws under random orders of events, in virtual time; the laws themselves stand in `world.rs`.

use crate::world::{Deed, World};
use crate::*;
use bytes::Bytes;
use proptest::prelude::*;

fn deed() -> impl Strategy<Value = Deed> {
    let body = prop_oneof![6 => Just(Body::Whole(Bytes::new())), 1 => Just(Body::TooLarge), 1 => Just(Body::Truncated)];
    prop_oneof![
        4 => (0u64..12_000).prop_map(Deed::Wait),
        2 => (0u64..50).prop_map(Deed::Wait),
        8 => Just(Deed::Next),
        6 => (0u8..4, body).prop_map(|(back, body)| Deed::Respond(back, body)),
        2 => (0u8..4).prop_map(Deed::Error),
        2 => Just(Deed::InitError),
        8 => Just(Deed::Deliver),
        6 => any::<bool>().prop_map(Deed::Born),
        2 => (0i32..3, any::<bool>()).prop_map(|(code, oom)| Deed::Leave(code, oom)),
        6 => Just(Deed::Reap),
        1 => Just(Deed::Shutdown),
        1 => Just(Deed::Lost),
        4 => Just(Deed::Refuse),
        1 => Just(Deed::Stale),
    ]
}

/// At least 2,000 worlds for each law; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    ProptestConfig { cases: given.cases.max(2_000), failure_persistence: None, ..given }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_laws_hold_in_every_order_of_events(deeds in proptest::collection::vec(deed(), 0..60)) {
        let mut world = World::new();
        for deed in deeds {
            world.do_one(deed);
        }
        world.wind_down();
    }

    #[test]
    fn an_invocation_ends_by_its_timeout_whatever_the_function_does(
        deeds in proptest::collection::vec(deed(), 0..30),
    ) {
        let mut world = World::new();
        for deed in deeds {
            world.do_one(deed);
        }
        world.settle_down();
    }
}
