//! The conversation against a forker that is slow, silent, or out of room: a thread with the other end of the socket.

use super::*;
use hearth_sandbox::channel;
use hearth_sandbox::spec::{Contents, Digest, InnerUser, NetworkClass};
use std::thread;

/// After so long something waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// Far more than fits into the socket, in either direction.
const MANY: u64 = 5_000;

type Peer = Channel<ForkerReply, ForkerRequest>;

fn conversation() -> (Sandboxes, tokio::task::JoinHandle<()>, Peer) {
    let (ours, theirs) = channel::pair().expect("makes a pair");
    let counter = IntCounter::new("changes", "of rules").expect("a name");
    let (sandboxes, task) = Sandboxes::start(Channel::new(ours), counter).expect("starts");
    (sandboxes, task, Channel::new(theirs))
}

fn spec() -> LaunchSpec {
    LaunchSpec {
        contents: Contents::Root { tree: Digest([7; 32]) },
        user: InnerUser::default(),
        memory_mb: 128,
        tmp_mb: 512,
        network: NetworkClass::None,
    }
}

fn next(peer: &Peer) -> ForkerRequest {
    peer.receive().expect("the daemon is there").expect("the socket blocks").0
}

// The forker's thread is joined while the conversation goes on: that takes a thread of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forker_that_reports_many_deaths_before_it_reads_does_not_stop_the_conversation() {
    let (sandboxes, _task, peer) = conversation();
    let forker = thread::spawn(move || {
        for id in 0..MANY {
            peer.send(&ForkerReply::Destroyed { sandbox: SandboxId(id) }, &[]).expect("sends");
        }
        let mut destroyed = 0;
        loop {
            match next(&peer) {
                ForkerRequest::Destroy { sandbox } => {
                    assert_eq!(sandbox, SandboxId(destroyed), "requests keep their order");
                    destroyed += 1;
                }
                ForkerRequest::Launch { sandbox, .. } => {
                    let detail = "nothing left".to_owned();
                    peer.send(&ForkerReply::Failed { sandbox, detail }, &[]).expect("sends");
                    return destroyed;
                }
                ForkerRequest::Hello => panic!("greeted before"),
            }
        }
    });
    let all = async {
        for id in 0..MANY {
            sandboxes.destroy(SandboxId(id)).await;
        }
        sandboxes.launch(SandboxId(MANY), spec()).await.err()
    };
    let answer = tokio::time::timeout(PATIENCE, all).await.expect("neither waits for the other");
    assert_eq!(answer.as_deref(), Some("nothing left"));
    assert_eq!(forker.join().expect("ends"), MANY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_without_its_descriptors_is_a_failed_launch_and_is_destroyed() {
    let (sandboxes, task, peer) = conversation();
    let forker = thread::spawn(move || {
        let ForkerRequest::Launch { sandbox, .. } = next(&peer) else { panic!("a launch comes first") };
        // What the kernel makes of a packet whose descriptors the receiver may not open.
        peer.send(&ForkerReply::Launched { sandbox }, &[]).expect("sends");
        let ForkerRequest::Destroy { sandbox: destroyed } = next(&peer) else { panic!("it is destroyed") };
        assert_eq!(destroyed, sandbox);
        peer
    });
    let launch = sandboxes.launch(SandboxId(1), spec());
    let answer = tokio::time::timeout(PATIENCE, launch).await.expect("is answered").err();
    assert!(answer.as_deref().is_some_and(|why| why.contains("too many files")), "{answer:?}");
    drop(forker.join().expect("was asked to destroy it"));
    tokio::time::timeout(PATIENCE, task).await.expect("ends with the forker, not before").expect("well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_that_is_never_answered_is_given_up_and_destroyed() {
    let (sandboxes, _task, peer) = conversation();
    let forker = thread::spawn(move || {
        assert!(matches!(next(&peer), ForkerRequest::Launch { .. }));
        matches!(next(&peer), ForkerRequest::Destroy { sandbox: SandboxId(9) })
    });
    let launch = sandboxes.launch_within(SandboxId(9), spec(), Duration::from_millis(20));
    let answer = tokio::time::timeout(PATIENCE, launch).await.expect("is answered").err();
    assert!(answer.as_deref().is_some_and(|why| why.contains("within")), "{answer:?}");
    assert!(forker.join().expect("ends"), "it is destroyed");
}
