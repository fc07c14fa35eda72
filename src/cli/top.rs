//! `hearth top`: what the daemon does right now, as a view that renews itself or as one snapshot.
//!
//! Asks one question a second and draws the answer; `view` makes lines of it, `screen` owns the terminal. A daemon that
//! goes away is said so in the view, which goes on when it is back.

mod view;

pub(super) use view::Sort;

use super::args;
use super::endpoint;
use super::failure::Failure;
use super::logs;
use super::screen::{Input, Screen};
use super::terminal::{self, Output};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use view::{Order, Snapshot};

/// Bytes of an answer: a thousand functions of some hundred bytes.
const ANSWER_MAX: usize = 16 << 20;
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// Runs the verb.
pub(super) fn run(args: &args::Top) -> Result<(), Failure> {
    let daemon = Daemon {
        socket: endpoint::admin_socket(&endpoint::state_dir(args.state_dir.as_deref())),
        query: format!("/top?window_s={}", args.window),
    };
    let output = Output::of_this_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = runtime.block_on(daemon.ask())?;
    if args.json {
        return terminal::print_json(&told);
    }
    let (snapshot, order) = (snapshot(&told)?, Order::by(args.sort));
    if args.once || !output.is_terminal {
        let lines = view::lines(&snapshot, order, usize::MAX);
        let text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
        return terminal::print(text);
    }
    let watched = runtime.block_on(watch(&daemon, snapshot, order, output.colours));
    // The thread that listens for keys is of no concern any more.
    runtime.shutdown_background();
    watched
}

struct Daemon {
    socket: PathBuf,
    query: String,
}

impl Daemon {
    async fn ask(&self) -> Result<Value, logs::SocketError> {
        logs::ask_json(&self.socket, &self.query, ANSWER_MAX).await
    }
}

fn snapshot(told: &Value) -> Result<Snapshot, Failure> {
    serde::Deserialize::deserialize(told).map_err(|error: serde_json::Error| {
        Failure::because(format!("the daemon's answer is not understood; is it of another release? {error}"))
    })
}

/// Draws until somebody has seen enough, or a signal says so.
async fn watch(
    daemon: &Daemon,
    mut snapshot: Snapshot,
    mut order: Order,
    colours: bool,
) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut screen = Screen::open(colours)?;
    let mut inputs = screen.inputs();
    let mut trouble = None;
    let mut tick = tokio::time::interval(REFRESH_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one comes at once, and the answer is at hand.
    tick.tick().await;
    loop {
        let (_, rows) = Screen::size();
        let lines = view::screenful(&snapshot, order, rows, trouble.as_deref());
        screen.draw(&lines).map_err(Failure::from_output)?;
        tokio::select! {
            input = inputs.recv() => match input {
                None | Some(Input::Quit | Input::Key('q' | 'Q')) => return Ok(()),
                Some(Input::Key('s')) => order = order.next(),
                Some(Input::Key('S')) => order = order.previous(),
                Some(Input::Key('r' | 'R')) => order = order.reversed(),
                Some(Input::Key(_) | Input::Resized) => {}
            },
            _ = tick.tick() => match daemon.ask().await.map_err(Failure::from).and_then(|told| self::snapshot(&told)) {
                Ok(fresh) => (snapshot, trouble) = (fresh, None),
                Err(failure) => trouble = failure.sentence(),
            },
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}
