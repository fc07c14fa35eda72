//! `kill -9` while functions are created and updated: what was acknowledged is there, whole.

use super::{Scratch, record, sealer};
use crate::store::tests::Nobody;
use crate::store::{Blobs, Change, Layout, Store, Unpacker, collect_garbage, zips};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

const ROLE: &str = "HEARTH_TEST_CRASH_WRITER";
const ROUNDS: usize = 5;
/// Acknowledged writes after which the writer is killed, per round.
const ACKNOWLEDGED: usize = 40;

fn package(name: &str) -> Vec<u8> {
    zips::zip(&[("handler.py", &format!("# {name}\n{}", "x = 1\n".repeat(2_000)))])
}

/// The process that is going to be killed: four tasks store functions and say so.
async fn write_until_killed(root: &Path, round: &str) {
    let layout = Layout::open(root, "00000000000000aa").expect("opens");
    let store = Store::open(&layout.catalog(), sealer()).expect("opens");
    let blobs = Blobs::new(&layout.blobs());
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let (store, blobs, round) = (store.clone(), blobs.clone(), round.to_owned());
            tokio::spawn(async move {
                // More than the parent waits for; it ends by itself if nobody kills it.
                for at in 0..10_000 {
                    let name = format!("r{round}-t{task}-{at:05}");
                    let pin = blobs.put(&package(&name)).expect("puts");
                    let mut it = record(&name);
                    it.code = pin.code();
                    store.commit(vec![Change::Create(Box::new(it))]).await.expect("commits");
                    let mut stdout = std::io::stdout().lock();
                    writeln!(stdout, "ack {name}").and_then(|()| stdout.flush()).expect("the parent listens");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// Runs this same test in a process of its own, as the writer, and kills it after some acknowledgements.
#[expect(clippy::disallowed_methods, reason = "a process that can be killed")]
fn kill_a_writer(root: &Path, round: usize) -> Vec<String> {
    // Without the crate's name, as the test runner knows it.
    let (_, module) = module_path!().split_once("::").expect("a path below the crate");
    let test = format!("{module}::acknowledged_functions_survive_kill_9_whole");
    let mut child = Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", &test, "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{round} {}", root.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut acknowledged = Vec::new();
    for line in lines {
        let line = line.expect("reads");
        // The runner's own words may stand before the first one on the same line.
        if let Some((_, name)) = line.split_once("ack ") {
            acknowledged.push(name.to_owned());
        }
        if acknowledged.len() == ACKNOWLEDGED {
            child.kill().expect("kills");
        }
    }
    child.wait().expect("ends");
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_functions_survive_kill_9_whole() {
    if let Ok(role) = std::env::var(ROLE) {
        let (round, root) = role.split_once(' ').expect("round and root");
        return write_until_killed(Path::new(root), round).await;
    }
    let scratch = Scratch::new();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let more = kill_a_writer(scratch.path(), round);
        assert!(more.len() >= ACKNOWLEDGED, "the writer ended by itself after {}", more.len());
        acknowledged.extend(more);
        let layout = Layout::open(scratch.path(), "00000000000000bb").expect("opens after the crash");
        assert_eq!(layout.instance(), "00000000000000aa");
        let store = Store::open(&layout.catalog(), sealer()).expect("opens after the crash");
        let blobs = Blobs::new(&layout.blobs());
        for name in &acknowledged {
            let stored = store.function(name).await.expect("reads");
            assert!(stored.is_some(), "{name} was acknowledged and is gone");
        }
        let all = store.functions(None, crate::store::catalog::SCAN_MAX).await.expect("reads");
        assert!(all.len() >= acknowledged.len());
        for function in &all {
            let bytes =
                blobs.read(&function.code.digest).expect("the code of a stored function is there, whole");
            assert_eq!(bytes, package(&function.name));
        }
        assert_eq!(std::fs::read_dir(layout.blobs().join("tmp")).expect("there").count(), 0);
        let unpacker = Unpacker::new(blobs.clone(), &layout.unpacked());
        collect_garbage(&store, &blobs, &unpacker, &Nobody, |_| ()).expect("collects");
        let left = std::fs::read_dir(layout.blobs().join("sha256")).expect("there").count();
        assert_eq!(left, all.len(), "no package is left that no function has");
        store.close().await;
    }
}

#[tokio::test]
async fn a_copy_of_database_and_log_at_any_moment_opens_with_all_that_was_acknowledged() {
    let scratch = Scratch::new();
    let path = scratch.path().join("hearth.db");
    let store = Store::open(&path, sealer()).expect("opens");
    for at in 0..50 {
        let name = format!("f{at:02}");
        store.commit(vec![Change::Create(Box::new(record(&name)))]).await.expect("commits");
        let copy = Scratch::new();
        for file in ["hearth.db", "hearth.db-wal"] {
            std::fs::copy(scratch.path().join(file), copy.path().join(file)).expect("copies");
        }
        let opened = Store::open(&copy.path().join("hearth.db"), sealer()).expect("opens");
        assert_eq!(opened.usage().await.expect("reads").functions, at + 1);
    }
}
