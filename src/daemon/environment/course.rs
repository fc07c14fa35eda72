//! The course of one environment, a task of its own: launched, driven, ended, buried.
//!
//! What happens between launch and end is the lifecycle's (`environment.rs`); here are the sandbox, the tasks that listen to
//! it, and the order in which all of it goes.

use super::super::drive::drive;
use super::super::invoke::Shared;
use super::super::meters::Meters;
use super::super::output::LogPipe;
use super::super::random;
use super::super::revision::Revision;
use super::super::sandboxes::{Control, Launched};
use super::super::scheduler::{EnvironmentHandle, Told};
use super::{Environment, Message};
use hearth_logic::EnvironmentId;
use hearth_logic::scheduler::Initialization;
use hearth_runtime_api::server::{self, Listener};
use hearth_sandbox::SandboxId;
use hearth_sandbox::spec::LaunchSpec;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Nothing of a sandbox takes this long to disappear; the log says so if it does.
const BURIAL_MAX: Duration = Duration::from_secs(30);

/// Launches an environment and drives it until nothing of it is left.
pub(in crate::daemon) async fn run(
    id: EnvironmentId,
    (revision, initialization): (Arc<Revision>, Initialization),
    shared: Arc<Shared>,
    inbox: (mpsc::Sender<Message>, mpsc::Receiver<Message>),
    scheduler: EnvironmentHandle,
) {
    let sandbox = SandboxId(id.0);
    // What it runs from stays on disk until nothing of it is left.
    let _held = Arc::clone(&revision);
    let launched = match launch(sandbox, &revision, &shared).await {
        Ok(launched) => launched,
        Err(detail) => {
            tracing::error!(function = %revision.name, %detail, "a sandbox could not be made");
            shared.metrics.launch_failures.inc();
            return scheduler.tell(Told::StartFailed { environment: id, detail });
        }
    };
    scheduler.tell(Told::Launched { environment: id });
    shared.metrics.environments.inc();
    shared.metrics.cold_start(&revision);
    let (sender, mut receiver) = inbox;
    let asked = sender.clone();
    let _readers = shared.logs.register(
        &revision.log_group,
        // A full inbox drops the request: whoever is that busy hands over soon.
        Box::new(move |done| drop(asked.try_send(Message::HandOver(done)))),
    );
    let Launched { control, runtime, door, logs, memory_peak, oom_events, cpu, freezer, names, gone } =
        launched;
    let control = Arc::new(control);
    let mut tasks = JoinSet::new();
    tasks.spawn(forward_reports(Arc::clone(&control), sender.clone()));
    match LogPipe::new(logs) {
        Ok(pipe) => {
            let pipe = Arc::new(pipe);
            tasks.spawn(watch_output(Arc::clone(&pipe), sender.clone()));
            tasks.spawn(serve_runtime(runtime, sender.clone(), Arc::clone(&shared.connections)));
            if let Some(names) = names {
                tasks.spawn(super::super::dns::serve(names, Arc::clone(&shared.resolvers)));
            }
            let metadata_token = random::hex::<16>();
            let door_key =
                crate::http::door::Key { environment: sandbox, metadata_token: metadata_token.clone() };
            tasks.spawn(crate::http::door::serve(door, door_key, Arc::clone(&shared), Arc::clone(&revision)));
            let meters = Meters::new([memory_peak, oom_events, cpu, freezer], &shared);
            let made_for = (revision, initialization);
            let ends = (sender, scheduler.clone());
            let identity = (id, metadata_token);
            let mut environment =
                Environment::new(identity, made_for, &shared, control, (pipe, meters), ends);
            environment.begin();
            drive(&mut environment, &mut receiver).await;
            environment.end();
        }
        Err(error) => tracing::error!(%error, "the log pipe could not be watched"),
    }
    last_word(id, &mut receiver, &scheduler).await;
    tasks.shutdown().await;
    shared.sandboxes.destroy(sandbox).await;
    if tokio::time::timeout(BURIAL_MAX, gone).await.is_err() {
        tracing::error!(sandbox = sandbox.0, "a sandbox does not disappear");
    }
    shared.metrics.environments.dec();
    scheduler.tell(Told::Destroyed { environment: id });
}

/// Says that the environment takes nothing any more. What was assigned meanwhile did not run: it is given back before it
/// would be failed with the environment.
pub(super) async fn last_word(
    id: EnvironmentId,
    receiver: &mut mpsc::Receiver<Message>,
    scheduler: &EnvironmentHandle,
) {
    receiver.close();
    while let Some(message) = receiver.recv().await {
        if let Message::Deliver(invocation) = message {
            scheduler.tell(Told::GivenBack { environment: id, invocation });
        }
    }
    scheduler.tell(Told::Died { environment: id });
}

async fn launch(
    sandbox: SandboxId,
    revision: &Arc<Revision>,
    shared: &Arc<Shared>,
) -> Result<Launched, String> {
    let contents = revision.contents();
    shared.code.ensure_unpacked(contents.tree()).await?;
    shared.code.ensure_layers(&revision.layers).await?;
    let spec = LaunchSpec {
        contents,
        user: revision.user(),
        memory_mb: revision.memory_mb,
        tmp_mb: revision.tmp_mb,
        network: shared.network.class_of(&revision.name),
    };
    shared.sandboxes.launch(sandbox, spec).await
}

async fn forward_reports(control: Arc<Control>, sender: mpsc::Sender<Message>) {
    while let Ok(report) = control.receive().await {
        if sender.send(Message::Report(Box::new(report))).await.is_err() {
            return;
        }
    }
    // Nobody listens any more if this fails, and then there is nobody to tell.
    sender.send(Message::Lost).await.ok();
}

async fn watch_output(pipe: Arc<LogPipe>, sender: mpsc::Sender<Message>) {
    while pipe.written().await.is_ok() {
        if sender.send(Message::Printed).await.is_err() {
            return;
        }
    }
}

async fn serve_runtime(
    listener: tokio::net::TcpListener,
    sender: mpsc::Sender<Message>,
    pool: Arc<Semaphore>,
) {
    if let Err(error) = server::serve(Listener::Tcp(listener), sender, server::Limits::default(), pool).await
    {
        tracing::warn!(%error, "a Runtime API listener failed");
    }
}
